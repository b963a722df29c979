//! Readers waiting for their barrier: all who wait share one round, those who come during it share
//! the next, and after a round each waits until its index is applied.

use crate::core::{Core, ReadRound};
use crate::error::ReadError;
use crate::handle::ReadTx;

/// Readers that may wait for a round; what is beyond stays in the handles' channel, which refuses
/// more when it is full.
const WAITING_MAX: usize = 65_536;

#[derive(Default)]
pub(super) struct Readers {
    round: Option<(ReadRound, Vec<ReadTx>)>,
    waiting: Vec<ReadTx>,
    /// Read index and those who wait until it is applied.
    unapplied: Vec<(u64, Vec<ReadTx>)>,
    closed: bool,
}

impl Readers {
    pub(super) fn is_empty(&self) -> bool {
        self.round.is_none() && self.waiting.is_empty() && self.unapplied.is_empty()
    }

    /// Whether more readers should be received.
    pub(super) fn takes_more(&self) -> bool {
        !self.closed && self.waiting.len() < WAITING_MAX
    }

    /// No reader will come any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Takes new readers and opens a round for all who wait, unless one is under way.
    pub(super) fn join(&mut self, core: &mut Core, arrived: &mut Vec<ReadTx>) {
        self.waiting.append(arrived);
        self.open_round(core);
    }

    fn open_round(&mut self, core: &mut Core) {
        if self.round.is_none() && !self.waiting.is_empty() {
            let round = core.read();
            self.round = Some((round, std::mem::take(&mut self.waiting)));
        }
    }

    /// A round was confirmed at `index`.
    pub(super) fn ready(&mut self, core: &mut Core, round: ReadRound, index: u64) {
        let readers = self.take(round);
        if index <= core.applied_index() {
            answer(readers, &Ok(()));
        } else {
            self.unapplied.push((index, readers));
        }
        self.open_round(core);
    }

    /// A round came to nothing.
    pub(super) fn failed(&mut self, core: &mut Core, round: ReadRound, error: ReadError) {
        answer(self.take(round), &Err(error));
        self.open_round(core);
    }

    /// The state machine reached `index`.
    pub(super) fn applied(&mut self, index: u64) {
        for (_, readers) in self
            .unapplied
            .extract_if(.., |(wanted, _)| *wanted <= index)
        {
            answer(readers, &Ok(()));
        }
    }

    /// Answers everyone with an error.
    pub(super) fn fail_all(&mut self, error: &ReadError) {
        let in_round = self.round.take().map(|(_, readers)| readers);
        let unapplied = self.unapplied.drain(..).map(|(_, readers)| readers);
        for readers in unapplied
            .chain(in_round)
            .chain(std::iter::once(std::mem::take(&mut self.waiting)))
        {
            answer(readers, &Err(error.clone()));
        }
    }

    fn take(&mut self, round: ReadRound) -> Vec<ReadTx> {
        self.round
            .take_if(|(open, _)| *open == round)
            .map(|(_, readers)| readers)
            .unwrap_or_default()
    }
}

fn answer(readers: Vec<ReadTx>, result: &Result<(), ReadError>) {
    for reader in readers {
        // A reader that gave up does not listen any more.
        let _ = reader.send(result.clone());
    }
}
