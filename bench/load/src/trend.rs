//! Whether a series of samples grows.

/// Growth below this share of the median is no leak.
const SHARE: f64 = 0.1;
/// Nor is growth below so many standard deviations of the samples about their line.
const DEVIATIONS: f64 = 2.0;

/// A least-squares line through samples.
#[derive(Debug, Clone, Copy)]
pub struct Trend {
    /// The first value.
    pub start: f64,
    /// The last value.
    pub end: f64,
    /// The middle value.
    pub median: f64,
    /// By the line, in an hour.
    pub per_hour: f64,
    /// By the line, from the first sample to the last.
    pub growth: f64,
    /// The standard deviation of the samples about the line.
    pub noise: f64,
}

impl Trend {
    /// Of samples (seconds, value) in order of time; None if they are too few for a line and its noise.
    pub fn of(samples: &[(f64, f64)]) -> Option<Self> {
        let (&(first, start), &(last, end)) = (samples.first()?, samples.last()?);
        if samples.len() < 3 {
            return None;
        }
        let count = samples.iter().map(|_| 1.0).sum::<f64>();
        let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
        let (time, value) = (mean(|sample| sample.0), mean(|sample| sample.1));
        let sum = |of: &dyn Fn(f64, f64) -> f64| samples.iter().map(|&(at, is)| of(at, is)).sum::<f64>();
        let slope = sum(&|at, is| (at - time) * (is - value)) / sum(&|at, _| (at - time).powi(2));
        let noise = (sum(&|at, is| (is - value - slope * (at - time)).powi(2)) / (count - 2.0)).sqrt();
        let mut values: Vec<_> = samples.iter().map(|sample| sample.1).collect();
        values.sort_unstable_by(f64::total_cmp);
        let median = *values.get(values.len() / 2)?;
        Some(Self { start, end, median, per_hour: slope * 3600.0, growth: slope * (last - first), noise })
    }

    /// Whether it grew beyond a tenth of its median and beyond twice its noise.
    pub fn is_leak(&self) -> bool {
        self.growth > SHARE * self.median && self.growth > DEVIATIONS * self.noise
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(values: &[f64]) -> Trend {
        let times = (0..).map(|number| f64::from(number) * 5.0);
        Trend::of(&times.zip(values.iter().copied()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn steady_growth_is_a_leak() {
        let trend = trend(&[100.0, 105.0, 110.0, 115.0, 120.0]);
        assert!((trend.growth - 20.0).abs() < 1e-9 && (trend.per_hour - 3600.0).abs() < 1e-9);
        assert!(trend.noise < 1e-9 && trend.is_leak());
    }

    #[test]
    fn noise_a_small_growth_and_a_fall_are_no_leak() {
        assert!(!trend(&[100.0, 150.0, 90.0, 160.0, 110.0]).is_leak());
        assert!(!trend(&[100.0, 101.0, 102.0, 103.0, 104.0]).is_leak());
        assert!(!trend(&[120.0, 115.0, 110.0, 105.0, 100.0]).is_leak());
    }

    #[test]
    fn two_samples_are_no_trend() {
        assert!(Trend::of(&[(0.0, 1.0), (5.0, 2.0)]).is_none());
    }
}
