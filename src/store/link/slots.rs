//! Which part of the keys a command is about, and which slot of a Cluster that part is in.

use crate::model::identity::{PARTITIONS, Partition};
use redis::{Arg, Cmd};
use std::sync::LazyLock;

/// Slots of every Cluster.
const SLOTS: u16 = 16384;

/// The slot of each partition's hash tag.
static OF_PARTITIONS: LazyLock<[u16; PARTITIONS as usize]> = LazyLock::new(|| {
    let mut slots = [0; PARTITIONS as usize];
    for (slot, partition) in slots.iter_mut().zip(Partition::all()) {
        *slot = crc16(partition.to_string().as_bytes()) % SLOTS;
    }
    slots
});

/// The slot of a partition's keys.
pub fn slot(partition: Partition) -> u16 {
    OF_PARTITIONS[usize::from(partition.number())]
}

/// The partition a command's first key is in; `None` for a command without one.
pub(in crate::store) fn partition(command: &Cmd) -> Option<Partition> {
    let mut words = command.args_iter().map(|word| match word {
        Arg::Simple(bytes) => bytes,
        _ => &[],
    });
    let key = match words.next()? {
        // The script, how many keys, the keys.
        b"EVALSHA" | b"EVAL" => words.nth(2)?,
        _ => words.next()?,
    };
    let tag = key.split(|byte| *byte == b'{').nth(1)?.strip_prefix(b"p")?;
    let number = std::str::from_utf8(tag.get(..2)?).ok()?;
    Partition::numbered(number.parse().ok()?)
}

/// CRC-16/XMODEM, bit by bit: 64 short tags, once.
fn crc16(bytes: &[u8]) -> u16 {
    const POLYNOMIAL: u16 = 0x1021;
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => (crc << 1) ^ POLYNOMIAL,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_hashed_as_the_cluster_specification_says() {
        // Its own example.
        assert_eq!(crc16(b"123456789"), 0x31C3);
    }

    #[test]
    fn a_command_is_sent_where_its_first_key_is() {
        let of = |words: &[&str]| {
            let mut command = Cmd::new();
            for word in words {
                command.arg(*word);
            }
            partition(&command).map(Partition::number)
        };
        assert_eq!(
            of(&["EVALSHA", "{p01}", "2", "pay:{p07}:order:x", "pay:{p07}:due:all"]),
            Some(7)
        );
        assert_eq!(of(&["EXISTS", "a:{p63}:due:all"]), Some(63));
        assert_eq!(of(&["EXISTS", "a:{p64}:due:all"]), None);
        assert_eq!(of(&["PING"]), None);
        assert_eq!(of(&["SCAN", "0", "MATCH", "a:{p*}:order:*"]), None);
    }
}
