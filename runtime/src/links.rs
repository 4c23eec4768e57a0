//! A shard and its rings: the moves that both hosts make.
//!
//! Each move takes a few things from one side to the other and says how many; which moves are made, in which order and
//! how large, is the host's choice: a fixed round for the live host, a random one for the simulator. A shard may die
//! between any two effects of a move, and the protocol holds.

use crate::clock::{FrontId, FrontSlot, Label, Link, ShardId};
use crate::recovery::{Phase, Receiver};
use crate::ring::{Consumer, Producer, PushError, RingError, Token};
use crate::shard::{Received, Shard, ShardError};

/// The rings of one shard.
#[derive(Default)]
pub struct Links {
    inbound: Vec<Option<Consumer>>,
    outbound: Vec<Option<Producer>>,
    fronts: Vec<Option<Attached>>,
    /// A message waits until the catalogue has been consumed up to here.
    control_wanted: u64,
}

/// The two rings of one front.
pub struct FrontRings {
    /// Who it is.
    pub id: FrontId,
    /// From the front.
    pub requests: Consumer,
    /// To the front.
    pub replies: Producer,
}

/// A front that is attached.
struct Attached {
    rings: FrontRings,
    /// What is wrong with the ring of replies: the next [`Links::admit`] says so, and the host drops the front.
    broken: Option<RingError>,
}

/// Why a move failed. The shard must end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// A ring's memory does not hold what a ring holds. Nobody can be steered by it.
    #[error("ring of {link}: {source}")]
    Ring {
        /// Which link.
        link: String,
        /// What is wrong.
        source: RingError,
    },
    /// The shard cannot go on.
    #[error(transparent)]
    Shard(#[from] ShardError),
}

impl Links {
    /// Adds the two rings that join this shard with `other`.
    pub fn join(&mut self, other: ShardId, inbound: Consumer, outbound: Producer) {
        put(&mut self.inbound, other.0, inbound);
        put(&mut self.outbound, other.0, outbound);
    }

    /// Adds a front.
    pub fn attach(&mut self, shard: &mut Shard, slot: FrontSlot, rings: FrontRings) -> Result<(), LinkError> {
        let (newest, broken) = match rings.replies.newest() {
            Ok((label, newest)) => (newest.map(|bytes| (Label(label), bytes)), None),
            Err(error) => (None, Some(error)),
        };
        shard.attach(slot, rings.id, newest)?;
        put(&mut self.fronts, slot.0, Attached { rings, broken });
        Ok(())
    }

    /// Drops a front and its rings.
    pub fn detach(&mut self, shard: &mut Shard, slot: FrontSlot) {
        shard.detach(slot);
        self.fronts[usize::from(slot.0)] = None;
    }

    /// The fronts that are attached.
    pub fn front_slots(&self) -> impl Iterator<Item = (FrontSlot, FrontId)> + '_ {
        let slots = self.fronts.iter().enumerate();
        slots.filter_map(|(index, front)| Some((FrontSlot(index as u16), front.as_ref()?.rings.id)))
    }

    /// Before replay: tells the shard what each of its receivers has seen.
    pub fn ask_receivers(&self, shard: &mut Shard) -> Result<(), LinkError> {
        for (index, ring) in self.outbound.iter().enumerate() {
            if let Some(ring) = ring {
                let newest = ring.newest().map_err(|source| ring_error(format!("shard {index}"), source));
                let (label, newest) = newest?;
                shard.seen_by(ShardId(index as u16), Label(label), newest)?;
            }
        }
        Ok(())
    }

    /// Takes up to `count_max` requests of the front in `slot`. `newest_entry` says how many entries the catalogue has by now.
    pub fn admit(
        &mut self,
        shard: &mut Shard,
        slot: FrontSlot,
        count_max: u32,
        newest_entry: impl Fn() -> u64,
    ) -> Result<u32, LinkError> {
        let Some(front) = self.fronts.get_mut(usize::from(slot.0)).and_then(Option::as_mut) else {
            return Ok(0);
        };
        let broken = |source| ring_error(format!("front {slot}"), source);
        if let Some(error) = front.broken.take() {
            return Err(broken(error));
        }
        let requests = &mut front.rings.requests;
        let mut count = 0;
        while count < count_max {
            let Some(frame) = requests.peek().map_err(broken)? else { break };
            let token = frame.token;
            // Looked up now that the request is there: its front had seen no more.
            shard.set_catalogue_newest(newest_entry());
            if !shard.admit(slot, frame.label, frame.payload, token.0) {
                break;
            }
            requests.advance(token);
            count += 1;
        }
        if count > 0 {
            shard.end_admission();
        }
        Ok(count)
    }

    /// Takes one step over `link`, of up to `count_max` messages. Returns how many it consumed.
    pub fn step(&mut self, shard: &mut Shard, link: Link, count_max: u32) -> Result<u32, LinkError> {
        assert_ne!(shard.phase(), Phase::Replaying);
        let count = match link {
            Link::Control => u32::from(shard.consume_control()?),
            Link::Ingest => shard.consume_ingest(count_max)?,
            Link::Ticks => shard.consume_ticks(u64::from(count_max) * shard.settings.tick_rows)?,
            Link::Shard(from) => self.receive(shard, from, count_max)?,
        };
        shard.end_step();
        Ok(count)
    }

    fn receive(&mut self, shard: &mut Shard, from: ShardId, count_max: u32) -> Result<u32, LinkError> {
        let Some(ring) = self.inbound.get_mut(usize::from(from.0)).and_then(Option::as_mut) else {
            return Ok(0);
        };
        let mut count = 0;
        while count < count_max {
            let frame = ring.peek().map_err(|source| ring_error(format!("shard {from}"), source))?;
            let Some(frame) = frame else { break };
            let token = frame.token;
            match shard.receive(from, Label(frame.label), frame.payload, token.0)? {
                Received::Taken => count += 1,
                Received::Known => {}
                Received::NotYet => break,
                Received::NeedsControl(position) => {
                    self.control_wanted = self.control_wanted.max(position);
                    break;
                }
            }
            ring.advance(token);
        }
        Ok(count)
    }

    /// The catalogue entry that a message waits for, if the shard has not been given it yet.
    pub fn control_wanted(&self, shard: &Shard) -> Option<u64> {
        (self.control_wanted > shard.catalogue_len()).then_some(self.control_wanted)
    }

    /// Moves up to `count_max` messages from the outbox for `to` onto its ring. Returns how many it took.
    pub fn publish(&mut self, shard: &mut Shard, to: Receiver, count_max: u32) -> Result<u32, LinkError> {
        match to {
            Receiver::Shard(id) => {
                let ring = self.outbound.get_mut(usize::from(id.0)).and_then(Option::as_mut);
                let Some(ring) = ring else { return Ok(0) };
                push(shard, to, ring, count_max).map_err(|source| ring_error(format!("shard {id}"), source))
            }
            Receiver::Front(slot) => {
                let front = self.fronts.get_mut(usize::from(slot.0)).and_then(Option::as_mut);
                let Some(front) = front.filter(|front| front.broken.is_none()) else { return Ok(0) };
                push(shard, to, &mut front.rings.replies, count_max).or_else(|error| {
                    front.broken = Some(error);
                    Ok(0)
                })
            }
        }
    }

    /// The label of the newest message on the ring to another shard.
    pub fn newest_label(&self, to: ShardId) -> Option<Label> {
        let ring = self.outbound.get(usize::from(to.0))?.as_ref()?;
        Some(Label(ring.published_label()))
    }

    /// A number that changes when a ring brings something new or gets room: a host that found nothing to do sleeps only if
    /// it has not changed since.
    pub fn activity(&self) -> u64 {
        let inbound = self.inbound.iter().flatten().map(Consumer::published_hint);
        let outbound = self.outbound.iter().flatten().map(Producer::released_hint);
        let fronts = self.fronts.iter().flatten().map(|front| &front.rings);
        let fronts =
            fronts.flat_map(|rings| [rings.requests.published_hint(), rings.replies.released_hint()]);
        inbound.chain(outbound).chain(fronts).fold(0, u64::wrapping_add)
    }

    /// Frees the ring space of everything that has become durable.
    pub fn release(&mut self, shard: &mut Shard) {
        (0..self.inbound.len()).for_each(|index| self.release_messages(shard, ShardId(index as u16)));
        (0..self.fronts.len()).for_each(|index| self.release_requests(shard, FrontSlot(index as u16)));
    }

    /// The part of [`Links::release`] that concerns the messages of one shard.
    pub fn release_messages(&mut self, shard: &mut Shard, from: ShardId) {
        let ring = self.inbound.get_mut(usize::from(from.0)).and_then(Option::as_mut);
        if let (Some(ring), Some(token)) = (ring, shard.releasable(from)) {
            ring.release(Token(token));
        }
    }

    /// The part of [`Links::release`] that concerns the requests of one front.
    pub fn release_requests(&mut self, shard: &mut Shard, slot: FrontSlot) {
        let front = self.fronts.get_mut(usize::from(slot.0)).and_then(Option::as_mut);
        if let (Some(front), Some(token)) = (front, shard.releasable_requests(slot)) {
            front.rings.requests.release(Token(token));
        }
    }
}

/// Moves messages from an outbox onto a ring.
fn push(shard: &mut Shard, to: Receiver, ring: &mut Producer, count_max: u32) -> Result<u32, RingError> {
    let mut count = 0;
    while count < count_max {
        let Some((label, bytes)) = shard.outgoing(to) else { break };
        match ring.push(label.0, bytes) {
            Ok(()) => {}
            Err(PushError::Full) => break,
            Err(PushError::Ring(error)) => return Err(error),
        }
        shard.sent(to);
        count += 1;
    }
    Ok(count)
}

fn ring_error(link: String, source: RingError) -> LinkError {
    LinkError::Ring { link, source }
}

fn put<T>(slots: &mut Vec<Option<T>>, index: u16, value: T) {
    let index = usize::from(index);
    if slots.len() <= index {
        slots.resize_with(index + 1, || None);
    }
    assert!(slots[index].is_none(), "place {index} is taken");
    slots[index] = Some(value);
}
