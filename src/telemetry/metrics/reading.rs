//! A metric that is read when somebody asks.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use std::collections::HashMap;

type Read = Box<dyn Fn() -> Vec<(&'static str, f64)> + Send + Sync>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
}

/// Gives its values with their labels; what cannot be told, or not on this system, is no value at all.
pub(super) struct Reading {
    kind: Kind,
    desc: Desc,
    read: Read,
}

impl Reading {
    /// `label`: none or one.
    pub(super) fn new(
        kind: Kind,
        name: &str,
        help: &str,
        label: &[&str],
        read: Read,
    ) -> prometheus::Result<Self> {
        let labels = label.iter().map(|label| (*label).to_owned()).collect();
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())?;
        Ok(Self { kind, desc, read })
    }

    fn metric(&self, label: &str, value: f64) -> Metric {
        let pairs = self.desc.variable_labels.iter().map(|name| {
            let mut pair = LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value(label.to_owned());
            pair
        });
        let mut metric = Metric::from_label(pairs.collect());
        match self.kind {
            Kind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
        }
        metric
    }
}

impl Collector for Reading {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let values = (self.read)();
        if values.is_empty() {
            return Vec::new();
        }
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(match self.kind {
            Kind::Gauge => MetricType::GAUGE,
            Kind::Counter => MetricType::COUNTER,
        });
        family.set_metric(values.into_iter().map(|(label, value)| self.metric(label, value)).collect());
        vec![family]
    }
}
