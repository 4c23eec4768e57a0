//! Reads that show what a session has written, without a message being sent for it.
//!
//! A session keeps a [`Token`]: how far each shard had consumed its ingest link when it acknowledged the session's
//! writes. A view with k exchanges on the longest way from a table to it shows these writes on shard X once **k rounds** are over:
//!
//! ```text
//! round 0: L0(A) = a label of shard A at which it has consumed the writes that the token names
//! round r: every shard M has consumed, from every shard A, all that A published up to L(r-1)(A);
//!          Lr(M) = a label of M from then on.            Of the last round only what concerns X is needed.
//! ```
//!
//! **Why that is enough.** What an operator holds is a function of what its shard has consumed (the law of operators). Claim: at
//! Lr(M) and after, all operators of M with at most r exchanges between them and the tables hold what follows from the writes.
//! For r = 0 these operators read the tables of M itself, and M has consumed its writes. For r > 0 such an operator gets its rows from
//! operators of M with fewer exchanges, which are right since Lr(M) >= L(r-1)(M), and through exchanges from operators of all
//! shards A with at most r - 1, which were right at L(r-1)(A); what they had sent by then M has consumed.
//!
//! **How it is seen.** Each shard tells on a [`Board`] (`teller.rs`; live it is the control page) its label, how far it has
//! consumed its ingest link, and for each other shard: the label through which it has *published* to it, the label of the *newest* message on
//! the ring to it, and the label of the last message *consumed* of it, that is, the step with it is over. Shard M has consumed
//! all that A published up to label L if, read in this order,
//!
//! 1. published(A to M) >= L: whatever A has for M from up to L is on the ring;
//! 2. newest(A to M) = n: so that lies at n or before. It was stored before the published label, so it is no older;
//! 3. consumed(M of A) >= n. And a label of M read after that is one at which the step was over, for it is stored before.
//!
//! All words are stored with Release and read with Acquire, which makes these orders hold. None of a shard's words ever goes
//! back while it lives. n is kept from the first look on, so that a reader does not run after a shard that publishes all the time.
//!
//! **Deaths.** The label of a shard that dies may name another state afterwards, if nobody has been told of the first. So what is
//! read is good only while the shards live on: the reader notes the **incarnation** of each shard first and compares in the end,
//! and begins again if one has changed. The supervisor stores the new incarnation before it starts the process, and
//! after it has taken back the phase "running", which the process sets again when it has told all words anew. So words of two
//! lives are never taken for those of one. The words of a shard that is dead without anybody having noticed are those of a state
//! that it had; what it had published then is on the rings, which survive it, so whoever has consumed it has consumed it.
//!
//! Then the lookup goes to X, and X may die before it answers: X's own state may be one that nobody was told of. So X's incarnation is
//! compared once more when the answer is there. (It comes from no later life than the incarnation read then, for the
//! new one was stored before that life began.) The deaths of others no longer matter: X has consumed what it needs.
//!
//! The token itself needs no incarnation; see [`Token`] for what it is made of.
//!
//! **Backfill.** A view that reads others through gates must not be read before all rows that were there have come. The ticks that
//! open its gates are numbered, and each shard tells how many it has consumed: a label counts only from a shard whose gates are
//! open. Rows behind gates may be on their way from shards that the token does not name. So the first read of such a view
//! on X, in each life of X, takes L0 of *all* shards ([`Rounds::reset`]); what X has once consumed in this life it keeps.
//!
//! **Cost.** Three loads for each pair of shards of each round, and nothing is sent. What has been shown on X in this life is kept
//! (`shown.rs`), so a session that only reads pays for one comparison, and does not mind the deaths of other shards.

mod reads;
mod shown;
mod teller;

pub use reads::{Answered, Read, Reads, Wants};
pub use teller::Teller;

use crate::clock::ShardId;
#[cfg(doc)]
use crate::front::Token;

/// What shards tell of themselves. [`Board::get`] must be an Acquire load and [`Board::set`] a Release store.
pub trait Board {
    /// How many shards there are.
    fn shards(&self) -> u16;
    /// Whether a shard serves, and in which life. The incarnation must be read first.
    fn life(&self, shard: ShardId) -> Life;
    /// Counts the processes of a shard.
    fn incarnation(&self, shard: ShardId) -> u64;
    /// A word of a shard.
    fn get(&self, shard: ShardId, word: Word) -> u64;
    /// Tells a word of a shard.
    fn set(&self, shard: ShardId, word: Word, value: u64);
}

/// What a shard tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// Client writes in its log.
    Logged,
    /// Its label after the last step.
    Stepped,
    /// How far it has consumed the client writes.
    Ingest,
    /// How many ticks it has consumed.
    Ticks,
    /// How many catalogue entries it has consumed.
    Control,
    /// The label through which it has published to another shard.
    Published(ShardId),
    /// The label of the newest message on its ring to another shard.
    Newest(ShardId),
    /// The label of the last message of another shard that it has consumed.
    Consumed(ShardId),
}

/// Whether a shard serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It serves, and all its words are of this incarnation at least.
    Running(u64),
    /// It does not serve yet.
    Starting,
    /// It will not serve again.
    Quarantined,
}

/// Where a read stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// The view shows what it must.
    Shown,
    /// Something has to happen on these shards first.
    Waits(Waits),
    /// This shard is in quarantine, and what must be shown may be on its way through it.
    Down(ShardId),
    /// The view has not got all rows yet that were there before it.
    Building,
    /// The token names writes of this shard that there have never been.
    NeverWritten(ShardId),
}

/// A set of shards, as a mask of their numbers modulo 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits(pub u64);

impl Waits {
    /// Adds a shard.
    pub fn add(&mut self, shard: ShardId) {
        self.0 |= Waits::of(shard).0;
    }

    /// One shard.
    pub fn of(shard: ShardId) -> Waits {
        Waits(1 << (shard.0 % 64))
    }
}

/// Beginnings at once, because shards have started again meanwhile; then it is time to wait.
const BEGINNING_COUNT_MAX: u32 = 4;

/// The rounds of one read.
#[derive(Debug, Default)]
pub struct Rounds {
    /// Whether round 0 takes all shards, and not only those of the token.
    takes_all: bool,
    /// Whether the gates have been seen open, so that one that is closed will be open again soon.
    was_whole: bool,
    /// The round under way; none before the beginning.
    round: Option<u32>,
    /// By shard: its incarnation at the beginning, or 0 if it does not matter.
    lives: Vec<u64>,
    /// By shard: the label of the round before; 0 asks for nothing.
    asked: Vec<u64>,
    /// By shard: how far it has come in this round.
    receivers: Vec<Receiving>,
}

/// How far a shard has come in a round.
#[derive(Clone, Copy, Debug, Default)]
struct Receiving {
    /// It has consumed what is asked of the shards before this one.
    sender: u16,
    /// The label of the message of that shard that it must consume, if that is known.
    newest: Option<u64>,
    /// Its label of this round; none while it lacks something.
    label: Option<u64>,
}

impl Rounds {
    /// Begins anew. `takes_all`: what gates have let through must be shown along with the writes. `was_whole`: the gates have
    /// been seen open, in a life that has ended.
    pub fn reset(&mut self, takes_all: bool, was_whole: bool) {
        (self.takes_all, self.was_whole, self.round) = (takes_all, was_whole, None);
    }

    /// The incarnation of a shard that what has been shown is good for.
    pub fn life(&self, shard: ShardId) -> u64 {
        self.lives[usize::from(shard.0)]
    }

    /// Goes on as far as the board allows.
    pub fn advance<B: Board>(&mut self, board: &B, wants: &Wants) -> Stand {
        let look = Look { board, wants, takes_all: self.takes_all };
        for _ in 0..BEGINNING_COUNT_MAX {
            let stand = self.go_on(&look);
            if self.round.is_none() || self.lives_hold(board) {
                return stand;
            }
            self.round = None;
        }
        Stand::Waits(Waits(u64::MAX))
    }

    fn go_on<B: Board>(&mut self, look: &Look<'_, B>) -> Stand {
        if self.round.is_none() {
            match self.begin(look) {
                Stand::Shown => self.round = Some(0),
                other => return other,
            }
        }
        loop {
            let round = self.round.expect("it has begun");
            let stand = if round == 0 { self.ask(look) } else { self.receive(look, round) };
            if stand != Stand::Shown || round == look.wants.reach.rounds {
                return stand;
            }
            self.round = Some(round + 1);
            self.receivers.iter_mut().for_each(|receiver| *receiver = Receiving::default());
        }
    }

    /// Notes the lives of all shards whose words will be read.
    fn begin<B: Board>(&mut self, look: &Look<'_, B>) -> Stand {
        let shards = usize::from(look.board.shards());
        self.lives.clear();
        self.lives.resize(shards, 0);
        self.asked.clear();
        self.asked.resize(shards, 0);
        self.receivers.clear();
        self.receivers.resize(shards, Receiving::default());
        let mut waits = Waits::default();
        for shard in look.shards().filter(|shard| look.matters(*shard)) {
            match look.board.life(shard) {
                Life::Running(incarnation) => self.lives[usize::from(shard.0)] = incarnation,
                Life::Starting => waits.add(shard),
                Life::Quarantined => return Stand::Down(shard),
            }
        }
        stand_of(waits)
    }

    /// Round 0.
    fn ask<B: Board>(&mut self, look: &Look<'_, B>) -> Stand {
        let mut waits = Waits::default();
        for shard in look.shards().filter(|shard| look.matters(*shard)) {
            let position = look.wants.token.position(shard);
            if look.board.get(shard, Word::Ingest) < position {
                // A write that was acknowledged is logged in all lives to come.
                if look.board.get(shard, Word::Logged) < position {
                    return Stand::NeverWritten(shard);
                }
                waits.add(shard);
                continue;
            }
            match self.label(look, shard) {
                Ok(label) if look.is_asked(shard) => self.asked[usize::from(shard.0)] = label,
                Ok(_) => {}
                Err(Stand::Waits(_)) => waits.add(shard),
                Err(other) => return other,
            }
        }
        stand_of(waits)
    }

    /// A later round.
    fn receive<B: Board>(&mut self, look: &Look<'_, B>, round: u32) -> Stand {
        let mut waits = Waits::default();
        let is_last = round == look.wants.reach.rounds;
        for receiver in look.shards().filter(|shard| !is_last || look.wants.targets.contains(shard)) {
            let mut receiving = self.receivers[usize::from(receiver.0)];
            if receiving.label.is_some() {
                continue;
            }
            match self.consumed_all(look, receiver, &mut receiving) {
                Err(other) => waits.add(other),
                Ok(()) => match self.label(look, receiver) {
                    Ok(label) => receiving.label = Some(label),
                    Err(Stand::Waits(_)) => waits.add(receiver),
                    Err(other) => return other,
                },
            }
            self.receivers[usize::from(receiver.0)] = receiving;
        }
        if waits == Waits::default() && !is_last {
            let labels = self.receivers.iter().map(|receiver| receiver.label.expect("nobody waits"));
            self.asked.iter_mut().zip(labels).for_each(|(asked, label)| *asked = label);
        }
        stand_of(waits)
    }

    /// Whether `receiver` has consumed all that is asked for; else who has to do something first.
    fn consumed_all<B: Board>(
        &self,
        look: &Look<'_, B>,
        receiver: ShardId,
        receiving: &mut Receiving,
    ) -> Result<(), ShardId> {
        while receiving.sender < look.board.shards() {
            let sender = ShardId(receiving.sender);
            let asked = self.asked[usize::from(sender.0)];
            if sender != receiver && asked > 0 {
                if receiving.newest.is_none() {
                    if look.board.get(sender, Word::Published(receiver)) < asked {
                        return Err(sender);
                    }
                    receiving.newest = Some(look.board.get(sender, Word::Newest(receiver)));
                }
                if Some(look.board.get(receiver, Word::Consumed(sender))) < receiving.newest {
                    return Err(receiver);
                }
            }
            (receiving.sender, receiving.newest) = (receiving.sender + 1, None);
        }
        Ok(())
    }

    /// The label of a shard whose gates on the way are open.
    fn label<B: Board>(&self, look: &Look<'_, B>, shard: ShardId) -> Result<u64, Stand> {
        if look.board.get(shard, Word::Ticks) >= look.wants.reach.ticks {
            return Ok(look.board.get(shard, Word::Stepped));
        }
        Err(if self.was_whole { Stand::Waits(Waits::of(shard)) } else { Stand::Building })
    }

    fn lives_hold<B: Board>(&self, board: &B) -> bool {
        let mut lives = (0..).map(ShardId).zip(&self.lives);
        lives.all(|(shard, life)| *life == 0 || board.incarnation(shard) == *life)
    }
}

fn stand_of(waits: Waits) -> Stand {
    if waits == Waits::default() { Stand::Shown } else { Stand::Waits(waits) }
}

/// The board, and what is looked for.
struct Look<'a, B> {
    board: &'a B,
    wants: &'a Wants,
    takes_all: bool,
}

impl<B: Board> Look<'_, B> {
    fn shards(&self) -> impl Iterator<Item = ShardId> + use<B> {
        (0..self.board.shards()).map(ShardId)
    }

    /// Whether the words of a shard are looked at.
    fn matters(&self, shard: ShardId) -> bool {
        let is_target = self.wants.targets.contains(&shard);
        match self.wants.reach.rounds {
            _ if !self.takes_all && self.wants.token.is_empty() => is_target,
            0 => is_target,
            1 => is_target || self.is_asked(shard),
            _ => true,
        }
    }

    /// Whether round 0 takes a label of this shard.
    fn is_asked(&self, shard: ShardId) -> bool {
        self.takes_all || self.wants.token.position(shard) > 0
    }
}
