//! The part of Protocol Buffers' wire format that spans need.
//! <https://protobuf.dev/programming-guides/encoding/>

/// A message as it is written. What holds a field's default is left out, as the format wants it.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED_32: u32 = 5;

impl Message {
    /// A whole number or a flag.
    pub(super) fn number(&mut self, field: u32, number: u64) {
        if number != 0 {
            self.member(field, number);
        }
    }

    /// Likewise, of several of which one is there: it is, even as zero.
    pub(super) fn member(&mut self, field: u32, number: u64) {
        self.tag(field, VARINT);
        self.varint(number);
    }

    /// A number of eight bytes.
    pub(super) fn fixed_64(&mut self, field: u32, number: u64) {
        if number != 0 {
            self.tag(field, FIXED_64);
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// A number of four bytes.
    pub(super) fn fixed_32(&mut self, field: u32, number: u32) {
        if number != 0 {
            self.tag(field, FIXED_32);
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// Bytes, or text.
    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.within(field, bytes);
        }
    }

    /// A message in this one; there even where it says nothing.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.within(field, &inner.0);
    }

    /// What was written.
    pub(super) fn written(self) -> Vec<u8> {
        self.0
    }

    fn within(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, LENGTH);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn tag(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_the_format_says() {
        let mut message = Message::default();
        // The examples of the format's own description, and each other kind once.
        message.number(1, 150);
        message.bytes(2, b"testing");
        message.message(3, |inner| inner.number(1, 150));
        message.fixed_64(4, 1);
        message.fixed_32(5, 1);
        message.number(16, 0);
        message.bytes(17, b"");
        let expected: &[&[u8]] = &[
            &[0x08, 0x96, 0x01],
            b"\x12\x07testing",
            &[0x1a, 0x03, 0x08, 0x96, 0x01],
            &[0x21, 1, 0, 0, 0, 0, 0, 0, 0],
            &[0x2d, 1, 0, 0, 0],
        ];
        assert_eq!(message.written(), expected.concat());
    }
}
