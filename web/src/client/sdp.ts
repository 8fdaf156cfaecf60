/**
 * The session id of a description's `o=` line (RFC 8866, section 5.2). JSEP (RFC 9429, section 5.2) keeps it for as long
 * as a peer connection lives, so a changed id says that the peer's page was loaded anew and holds nothing of the old
 * connection.
 */
export function sdpSession(sdp: string): string | null {
  return /^o=\S+ (\S+) /m.exec(sdp)?.[1] ?? null;
}

/** A medium that the author of a description sends, and the stream that it belongs to, if any. */
export interface SentMedium {
  readonly mid: string;
  readonly streamId: string | null;
}

/**
 * Directions (RFC 8866, section 6.7) are the author's; `a=msid:` (RFC 8830) begins with the stream, `-` being none. Port 0
 * refuses a medium, unless it is bundled with another (RFC 9143, section 6).
 */
export function sentMedia(sdp: string): SentMedium[] {
  return sdp
    .split(/^m=/m)
    .slice(1)
    .filter((section) => !/^\S+ 0 /.test(section) || /^a=bundle-only\r?$/m.test(section))
    .filter((section) => !/^a=(recvonly|inactive)\r?$/m.test(section))
    .flatMap((section) => {
      const mid = /^a=mid:(\S+)/m.exec(section)?.[1];
      const streamId = /^a=msid:(\S+)/m.exec(section)?.[1] ?? '-';
      return mid === undefined ? [] : [{ mid, streamId: streamId === '-' ? null : streamId }];
    });
}
