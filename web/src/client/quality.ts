/** How good the connection is, in four bars. */
export type Quality = 'excellent' | 'good' | 'fair' | 'poor';

interface Sample {
  readonly received: number;
  readonly lost: number;
}

/** Bars from the loss of incoming packets (0 to 1) and the round trip in seconds. */
export function measureQuality(loss: number, roundTrip: number): Quality {
  if (loss > 0.08 || roundTrip > 0.6) return 'poor';
  if (loss > 0.03 || roundTrip > 0.3) return 'fair';
  if (loss > 0.01 || roundTrip > 0.15) return 'good';
  return 'excellent';
}

/** Judges by what happened between two readings, not since the call began. */
export class QualityMeter {
  #before: Sample | null = null;

  read(report: RTCStatsReport): Quality {
    let received = 0;
    let lost = 0;
    let roundTrip = 0;
    for (const entry of report.values() as Iterable<Record<string, unknown>>) {
      if (entry['type'] === 'inbound-rtp') {
        received += Number(entry['packetsReceived'] ?? 0);
        lost += Number(entry['packetsLost'] ?? 0);
      }
      if (entry['type'] === 'candidate-pair' && entry['nominated'] === true) {
        roundTrip = Math.max(roundTrip, Number(entry['currentRoundTripTime'] ?? 0));
      }
    }
    let before = this.#before ?? { received, lost };
    // Counters begin anew when the peer connection is replaced.
    if (received < before.received) before = { received: 0, lost: 0 };
    const got = received - before.received;
    const missed = Math.max(lost - before.lost, 0);
    this.#before = { received, lost };
    return measureQuality(got + missed === 0 ? 0 : missed / (got + missed), roundTrip);
  }
}
