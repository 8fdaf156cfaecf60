import { expect, test } from 'vitest';
import { measureQuality, QualityMeter } from './quality';

/** Of two media, and a pair of candidates beside the one in use. */
function report(received: number, lost: number, roundTrip = 0): RTCStatsReport {
  const entries = [
    { type: 'inbound-rtp', packetsReceived: received - 100, packetsLost: lost },
    { type: 'inbound-rtp', packetsReceived: 100 },
    { type: 'outbound-rtp', packetsReceived: 1_000_000, packetsLost: 1_000_000 },
    { type: 'candidate-pair', nominated: true, currentRoundTripTime: roundTrip },
    { type: 'candidate-pair', nominated: false, currentRoundTripTime: 9 },
  ];
  return new Map(entries.map((entry, at) => [String(at), entry])) as unknown as RTCStatsReport;
}

test.each([
  [0.01, 0.15, 'excellent'],
  [0.011, 0, 'good'],
  [0, 0.151, 'good'],
  [0.031, 0, 'fair'],
  [0, 0.301, 'fair'],
  [0.081, 0, 'poor'],
  [0, 0.601, 'poor'],
] as const)('a loss of %s and a round trip of %s s are %s', (loss, roundTrip, quality) => {
  expect(measureQuality(loss, roundTrip)).toBe(quality);
});

test('judges what happened since the reading before, whatever was before that', () => {
  const meter = new QualityMeter();
  expect(meter.read(report(1_000, 500))).toBe('excellent');
  expect(meter.read(report(1_950, 550))).toBe('fair');
  expect(meter.read(report(2_950, 550))).toBe('excellent');
  expect(meter.read(report(2_950, 551))).toBe('poor');
});

test('the round trip is that of the pair in use', () => {
  expect(new QualityMeter().read(report(1_000, 0, 0.4))).toBe('fair');
});

test('counters that begin anew are judged by themselves', () => {
  const meter = new QualityMeter();
  meter.read(report(10_000, 100));
  expect(meter.read(report(200, 0))).toBe('excellent');
  expect(meter.read(report(1_150, 50))).toBe('fair');
  expect(meter.read(report(950, 51))).toBe('fair');
});

test('late packets that lower the count of the lost are no loss', () => {
  const meter = new QualityMeter();
  meter.read(report(1_000, 100));
  expect(meter.read(report(1_050, 10))).toBe('excellent');
});

test('no packets at all are no loss', () => {
  expect(new QualityMeter().read(new Map() as unknown as RTCStatsReport)).toBe('excellent');
});
