//! WebSocket frames (RFC 6455, section 5), as far as Engine.IO needs them: text in one piece, without extensions.

/// Of a longer frame only the head is kept: a list of thousands is counted, not read.
const LONG: usize = 32 * 1024;
const HEAD: usize = 256;
const TEXT: u8 = 0x81;
const MASKED: u8 = 0x80;
/// In place of a length: the next two bytes have it.
const TWO_BYTES: u8 = 0x7e;
/// The next eight have it.
const EIGHT_BYTES: u8 = 0x7f;
/// One for all frames: a server has the same work with any but a mask of zeroes.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A message from the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// The whole of it, or the head of a long one.
    pub(crate) text: &'a [u8],
    /// Of the whole.
    pub(crate) size: usize,
}

impl Frame<'_> {
    /// The name, if it is an event.
    pub(crate) fn event(&self) -> Option<&str> {
        let name = self.text.strip_prefix(b"42[\"")?;
        let end = name.iter().position(|byte| *byte == b'"')?;
        std::str::from_utf8(&name[..end]).ok()
    }

    /// The string behind the first `"key":`.
    pub(crate) fn string(&self, key: &str) -> Option<&str> {
        self.strings(key).next()
    }

    /// The string behind each `"key":`.
    pub(crate) fn strings(&self, key: &str) -> impl Iterator<Item = &str> {
        let text = std::str::from_utf8(self.text).unwrap_or_default();
        let values = text.match_indices(key).map(move |(at, _)| &text[at + key.len()..]);
        values.filter_map(|rest| rest.strip_prefix("\":\"")?.split('"').next())
    }
}

/// Cuts what is received into frames.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    pending: Vec<u8>,
    long: Option<Long>,
}

#[derive(Debug)]
struct Long {
    head: Vec<u8>,
    size: usize,
    left: usize,
}

impl Decoder {
    /// Takes what was received, and lets hear what is complete.
    pub(crate) fn feed(&mut self, bytes: &[u8], hear: &mut impl FnMut(Frame<'_>)) {
        if self.pending.is_empty() {
            let rest = self.decode(bytes, hear);
            self.pending.extend_from_slice(rest);
        } else {
            let mut all = std::mem::take(&mut self.pending);
            all.extend_from_slice(bytes);
            let rest = self.decode(&all, hear).len();
            all.drain(..all.len() - rest);
            self.pending = all;
        }
    }

    /// So many of the next bytes need not be looked at, but by [`Decoder::skip`].
    pub(crate) fn skippable(&self) -> usize {
        self.long.as_ref().map_or(0, |long| long.left)
    }

    /// As many bytes, of those that need not be looked at, were received.
    pub(crate) fn skip(&mut self, count: usize, hear: &mut impl FnMut(Frame<'_>)) {
        if let Some(long) = &mut self.long {
            long.left -= count;
            if long.left == 0 {
                hear(Frame { text: &long.head, size: long.size });
                self.long = None;
            }
        }
    }

    /// Gives back what is not complete.
    fn decode<'a>(&mut self, mut bytes: &'a [u8], hear: &mut impl FnMut(Frame<'_>)) -> &'a [u8] {
        loop {
            let skipped = self.skippable().min(bytes.len());
            self.skip(skipped, hear);
            bytes = &bytes[skipped..];
            let Some((size, body)) = header(bytes) else { return bytes };
            if size > LONG {
                let Some(head) = body.get(..HEAD) else { return bytes };
                self.long = Some(Long { head: head.to_vec(), size, left: size });
                bytes = body;
            } else {
                let Some((text, rest)) = body.split_at_checked(size) else { return bytes };
                hear(Frame { text, size });
                bytes = rest;
            }
        }
    }
}

/// The size of the frame that begins here, and what follows its header; None if the header is not complete.
fn header(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&[kind, short], rest) = bytes.split_first_chunk()?;
    assert_eq!(kind, TEXT, "a frame that is no text in one piece: as a rule the server ends the connection");
    match short {
        TWO_BYTES => rest.split_first_chunk().map(|(long, rest)| (u16::from_be_bytes(*long).into(), rest)),
        EIGHT_BYTES => {
            rest.split_first_chunk().map(|(long, rest)| (u64::from_be_bytes(*long).try_into().unwrap(), rest))
        }
        short => Some((short.into(), rest)),
    }
}

/// Appends a frame with the parts as its text.
pub(crate) fn encode(out: &mut Vec<u8>, parts: &[&str]) {
    let size: usize = parts.iter().map(|part| part.len()).sum();
    out.push(TEXT);
    if let Ok(short @ ..TWO_BYTES) = u8::try_from(size) {
        out.push(MASKED | short);
    } else {
        out.push(MASKED | TWO_BYTES);
        out.extend(u16::try_from(size).expect("the server takes no more than 64 KiB").to_be_bytes());
    }
    out.extend(MASK);
    let start = out.len();
    for part in parts {
        out.extend(part.as_bytes());
    }
    let (words, rest) = out[start..].as_chunks_mut();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(MASK)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(MASK) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server writes it.
    fn served(text: &str) -> Vec<u8> {
        let mut frame = vec![TEXT];
        match text.len() {
            size @ ..126 => frame.push(size.try_into().unwrap()),
            size @ ..65_536 => {
                frame.push(TWO_BYTES);
                frame.extend(u16::try_from(size).unwrap().to_be_bytes());
            }
            size => {
                frame.push(EIGHT_BYTES);
                frame.extend((size as u64).to_be_bytes());
            }
        }
        frame.extend(text.as_bytes());
        frame
    }

    fn heard(decoder: &mut Decoder, bytes: &[u8]) -> Vec<(String, usize)> {
        let mut frames = Vec::new();
        decoder.feed(bytes, &mut |frame| {
            frames.push((String::from_utf8(frame.text.to_vec()).unwrap(), frame.size));
        });
        frames
    }

    #[test]
    fn frames_are_heard_whole_wherever_they_are_cut() {
        let texts = ["2".to_owned(), "x".repeat(125), "y".repeat(126), String::new(), "z".repeat(700)];
        let bytes: Vec<u8> = texts.iter().flat_map(|text| served(text)).collect();
        for step in 1..bytes.len() {
            let mut decoder = Decoder::default();
            let frames: Vec<_> = bytes.chunks(step).flat_map(|piece| heard(&mut decoder, piece)).collect();
            let expected: Vec<_> = texts.iter().map(|text| (text.clone(), text.len())).collect();
            assert_eq!(frames, expected, "in pieces of {step}");
        }
    }

    #[test]
    fn of_a_long_frame_the_head_is_kept_and_what_follows_it_is_heard() {
        let list = format!("42[\"users_updated\",[{}]]", "1,".repeat(50_000));
        let bytes = [served(&list), served("2")].concat();
        let expected = [(list[..HEAD].to_owned(), list.len()), ("2".to_owned(), 1)];
        for step in [1, 7, 300, 4096, 200_000] {
            let mut decoder = Decoder::default();
            let frames: Vec<_> = bytes.chunks(step).flat_map(|piece| heard(&mut decoder, piece)).collect();
            assert_eq!(frames, expected, "in pieces of {step}");
        }
    }

    #[test]
    fn the_rest_of_a_long_frame_may_be_skipped_unseen() {
        let bytes = served(&"x".repeat(100_000));
        let mut decoder = Decoder::default();
        assert!(heard(&mut decoder, &bytes[..1000]).is_empty());
        assert_eq!(decoder.skippable(), bytes.len() - 1000);
        let mut heard = Vec::new();
        decoder.skip(bytes.len() - 1001, &mut |_| panic!("one byte is missing"));
        decoder.skip(1, &mut |frame| heard.push(frame.size));
        assert_eq!(heard, [100_000]);
    }

    #[test]
    fn a_frame_of_ours_is_masked_and_has_its_length() {
        for size in [0, 1, 125, 126, 5000] {
            let text = "abc".repeat(size)[..size].to_owned();
            let mut out = Vec::new();
            encode(&mut out, &[&text[..size / 2], &text[size / 2..]]);
            let (short, body) = (usize::from(out[1] & 0x7f), if size < 126 { &out[2..] } else { &out[4..] });
            assert_eq!((out[0], out[1] & MASKED, short), (TEXT, MASKED, size.min(126)));
            let unmasked: Vec<u8> =
                body[4..].iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            assert_eq!(unmasked, text.as_bytes());
        }
    }

    #[test]
    fn an_event_tells_its_name_and_its_strings() {
        let text = br#"42["incoming_call",{"callId":"abc","from":{"id":"x"}}]"#;
        let frame = Frame { text, size: text.len() };
        assert_eq!(frame.event(), Some("incoming_call"));
        assert_eq!(
            (frame.string("callId"), frame.string("id"), frame.string("to")),
            (Some("abc"), Some("x"), None)
        );
        assert_eq!(Frame { text: b"2", size: 1 }.event(), None);
    }
}
