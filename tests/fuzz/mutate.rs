//! Changes to a text, as a hostile or broken sender makes them.

/// Numbers that are the same for the same seed (xorshift64*: Vigna, 2016).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed.max(1))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 up to `end`, without it; 0 where there is nothing to choose from.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or_default().checked_rem(end).unwrap_or_default()
    }
}

/// The longest text.
const LONGEST: usize = 4096;

/// Changes `text` in one to four places; `other` is another text of the same kind, `words` are what
/// such texts are made of.
pub(super) fn mutate(dice: &mut Dice, text: &[u8], other: &[u8], words: &[&[u8]]) -> Vec<u8> {
    let mut text = text.to_vec();
    for _ in 0..=dice.below(4) {
        let at = dice.below(text.len() + 1);
        let until = (at + dice.below(1 + (text.len() - at).min(32))).min(text.len());
        match dice.below(9) {
            0 => text.truncate(at),
            1 => drop(text.drain(at..until)),
            2 => {
                let piece = text[at..until].to_vec();
                for _ in 0..=dice.below(8) {
                    text.splice(at..at, piece.iter().copied());
                }
            }
            3 if at < text.len() => text[at] ^= 1 << dice.below(8),
            4 if at < text.len() => text[at] = ODD[dice.below(ODD.len())],
            5 => {
                let from = dice.below(other.len() + 1);
                let piece = other[from..].iter().take(1 + dice.below(64)).copied();
                drop(text.splice(at..until, piece));
            }
            _ if words.is_empty() => {}
            6 => drop(text.splice(at..until, words[dice.below(words.len())].iter().copied())),
            _ => drop(text.splice(at..at, words[dice.below(words.len())].iter().copied())),
        }
    }
    text.truncate(LONGEST);
    text
}

/// Bytes that mean something to somebody.
const ODD: &[u8] =
    b"\0\t\n\r \"#%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~\x7f\x80\xbf\xc0\xed\xef\xf0\xff";
