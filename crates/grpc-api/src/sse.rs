//! Reading server-sent events as the REST interface writes them (WHATWG HTML, 9.2).

/// A frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// By which a client goes on.
    pub id: Option<String>,
    /// What it says; nothing where it is a sign of life.
    pub data: Option<String>,
}

/// Puts frames together from pieces.
#[derive(Default)]
pub struct Frames {
    // What has come since the last whole frame.
    rest: Vec<u8>,
}

impl Frames {
    /// Takes a piece; gives the frames that it completes.
    pub fn take(&mut self, piece: &[u8]) -> Vec<Frame> {
        // An end may begin with the last byte that was there.
        let mut looked_at = self.rest.len().saturating_sub(1);
        self.rest.extend_from_slice(piece);
        let (mut frames, mut begun) = (Vec::new(), 0);
        while let Some(end) = self.rest[looked_at..].windows(2).position(|pair| pair == b"\n\n") {
            let end = looked_at + end;
            frames.push(frame(&self.rest[begun..end]));
            begun = end + 2;
            looked_at = begun;
        }
        self.rest.drain(..begun);
        frames
    }
}

fn frame(text: &[u8]) -> Frame {
    let mut frame = Frame::default();
    for line in text.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => frame.id = Some(value.to_owned()),
            "data" => match &mut frame.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => frame.data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_the_same_however_they_are_cut() {
        let text =
            "retry: 2000\n\nid: 7\nevent: ConsentSigned\ndata: {\"a\":1}\n\n:\nid: 8\n\ndata: one\ndata:two\n\nid: 9";
        let frame =
            |id: Option<&str>, data: Option<&str>| Frame { id: id.map(str::to_owned), data: data.map(str::to_owned) };
        let expected = [
            frame(None, None),
            frame(Some("7"), Some("{\"a\":1}")),
            frame(Some("8"), None),
            frame(None, Some("one\ntwo")),
        ];
        for size in 1..=text.len() {
            let mut frames = Frames::default();
            let read: Vec<Frame> = text.as_bytes().chunks(size).flat_map(|piece| frames.take(piece)).collect();
            assert_eq!(read, expected, "{size}");
            assert_eq!(frames.rest, b"id: 9");
        }
    }
}
