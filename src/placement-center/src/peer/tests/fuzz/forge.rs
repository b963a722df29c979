//! Forgeries: genuine messages changed at random, and messages made up.

use super::{LIAR, VICTIM};

/// Random numbers by seed (splitmix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let number = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }

    fn at(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }
}

/// Changes bytes as a broken wire or a clumsy forger would.
fn damage(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = dice.at(bytes.len());
        match dice.below(6) {
            0 | 1 => bytes[at] ^= 1 << dice.below(8),
            2 => bytes[at] = dice.roll() as u8,
            3 => drop(bytes.remove(at)),
            4 => bytes.insert(at, dice.roll() as u8),
            _ => bytes.truncate(at),
        }
    }
}

fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Appends a number as a field; of a field that comes twice the last one holds.
fn field(bytes: &mut Vec<u8>, tag: u64, number: u64) {
    varint(bytes, tag << 3);
    varint(bytes, number);
}

/// Fields of a Raft message on the wire.
const KIND: u64 = 1;
const TO: u64 = 2;
const FROM: u64 = 3;
const TERM: u64 = 4;
/// Previous term, index, commit, rejection, hint, wanted snapshot, context's number, commit term and priority.
const NUMBERS: [u64; 9] = [5, 6, 8, 10, 11, 13, 14, 15, 16];

/// A message of the liar to the victim; the bytes may be none.
pub(super) fn forge(seen: &[Vec<u8>], term: u64, last_index: u64, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = match dice.below(8) {
        0 => Vec::new(),
        1 => (0..dice.below(60)).map(|_| dice.roll() as u8).collect(),
        _ => seen[dice.at(seen.len())].clone(),
    };
    if dice.below(3) > 0 {
        damage(&mut bytes, dice);
    }
    let small = |dice: &mut Dice| match dice.below(10) {
        0 => dice.roll(),
        1 => u64::MAX >> dice.below(64),
        _ => dice.below(last_index + 4),
    };
    for _ in 0..dice.below(4) {
        let tag = NUMBERS[dice.at(NUMBERS.len())];
        let number = small(dice);
        field(&mut bytes, tag, number);
    }
    if dice.below(2) == 0 {
        field(&mut bytes, KIND, dice.below(21));
    }
    if dice.below(8) > 0 {
        field(&mut bytes, TERM, term.saturating_sub(dice.below(3)));
    }
    field(&mut bytes, FROM, LIAR);
    field(&mut bytes, TO, VICTIM);
    bytes
}
