//! The reads of a front: lookups, scans and ranges, at once or when the view shows what a session has written.

use super::assembly::{Assemblies, CANCELLED};
use super::lane::Lane;
use super::{Completion, Front, FrontError, Outcome, RequestError, RequestId, Token, unknown};
use crate::clock::ShardId;
use crate::live::control::ControlPage;
use crate::message::{Ask, Refusal};
use crate::rounds::{Answered, Read, Stand};
use operators::hash::{KeyColumns, hash_key, owner};
use operators::plan::Reach;
use operators::{Plan, Range, RangePosition, Row, Rows, ScanPosition, Type, ViewId};

/// Reads that may wait for what they must show.
const WAITING_COUNT_MAX: usize = 1 << 16;

/// What a read asks for.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// What is asked of a certain shard; without it keys are looked up.
    at: Option<(ShardId, At)>,
    keys: Rows,
    limit: u32,
}

/// What is asked of one shard.
#[derive(Clone, Debug)]
enum At {
    Scan(ScanPosition),
    Range(Box<(Range, Option<RangePosition>)>),
}

/// What is known of a view, worked out once.
#[derive(Debug)]
pub(super) struct KnownView {
    name: String,
    key_schema: Vec<(Type, bool)>,
    /// The columns that rows are spread by, in a row of just the key.
    pub(super) spread: KeyColumns,
    pub(super) reach: Reach,
}

impl KnownView {
    /// Adds the views that a plan has beyond the known ones, of which nothing changes any more.
    pub(super) fn add(known: &mut Vec<KnownView>, plan: &Plan) {
        known.extend(plan.views[known.len()..].iter().map(|view| KnownView {
            name: view.name.clone(),
            key_schema: view.key_schema(),
            spread: view.spread_columns().of_key_row(),
            reach: plan.reach(view.id).expect("it is a view of the plan"),
        }));
    }
}

/// What sends requests.
pub(super) struct Sender<'a> {
    page: &'a ControlPage,
    lanes: &'a mut [Lane],
    assemblies: &'a mut Assemblies,
    split: &'a mut [Rows],
}

impl Sender<'_> {
    /// Sends a lookup, in a part for each shard that owns keys.
    fn lookup(&mut self, request: RequestId, view: ViewId, spread: &KeyColumns, keys: &Rows, limit: u32) {
        let shards = self.lanes.len() as u16;
        let owner_of = |row: Row<'_>| usize::from(owner(hash_key(row, spread), shards));
        let mut owners = keys.iter().map(owner_of);
        if let Some(first) = owners.next()
            && owners.all(|other| other == first)
        {
            self.split[first].clone_from(keys);
            return self.send_split(first, view, limit, Assemblies::single(request));
        }
        let mut places: Vec<Vec<u32>> = vec![Vec::new(); self.lanes.len()];
        for (place, row) in (0..).zip(keys.iter()) {
            let shard = owner_of(row);
            self.split[shard].push(row);
            places[shard].push(place);
        }
        self.assemblies.begin_lookup(request, keys.count);
        for (shard, places) in places.into_iter().enumerate().filter(|(_, places)| !places.is_empty()) {
            let purpose = self.assemblies.add_lookup_part(request, places);
            self.send_split(shard, view, limit, purpose);
        }
        self.assemblies.sent(request);
    }

    /// Sends the keys that have been put aside for a shard.
    fn send_split(&mut self, shard: usize, view: ViewId, limit: u32, purpose: u64) {
        let body = Ask::Lookup { view: view.0, limit, keys: std::mem::take(&mut self.split[shard]) };
        if let Ask::Lookup { mut keys, .. } = self.lanes[shard].send(self.page, body, purpose) {
            keys.clear();
            self.split[shard] = keys;
        }
    }

    /// Sends a read that waits no longer.
    fn read(&mut self, views: &[KnownView], read: &Read<Body>) {
        let (request, view) = (RequestId(read.request), read.wants.view);
        let Some((shard, at)) = &read.body.at else {
            let spread = &views[view.0 as usize].spread;
            return self.lookup(request, view, spread, &read.body.keys, read.body.limit);
        };
        let body = match at {
            At::Scan(from) => Ask::Scan { view: view.0, from: *from },
            At::Range(range) => {
                let (range, from) = (**range).clone();
                Ask::Range { view: view.0, range, from }
            }
        };
        self.lanes[usize::from(shard.0)].send(self.page, body, Assemblies::single(request));
    }
}

impl Front {
    /// Looks up the rows of each key, up to `limit` a key, each on the shard that owns it.
    pub fn lookup(&mut self, view: ViewId, keys: &Rows, limit: u32) -> Result<RequestId, FrontError> {
        self.check_keys(view, keys)?;
        self.check_room()?;
        let request = self.new_request();
        let Front { page, lanes, assemblies, split, views, .. } = self;
        let spread = &views[view.0 as usize].spread;
        Sender { page, lanes, assemblies, split }.lookup(request, view, spread, keys, limit);
        Ok(request)
    }

    /// Looks up keys that `shard` owns all.
    pub fn lookup_at(
        &mut self,
        shard: ShardId,
        view: ViewId,
        keys: &Rows,
        limit: u32,
    ) -> Result<RequestId, FrontError> {
        self.check_room_at(shard)?;
        let request = self.new_request();
        let Front { page, lanes, assemblies, split, .. } = self;
        let index = usize::from(shard.0);
        split[index].clone_from(keys);
        Sender { page, lanes, assemblies, split }.send_split(index, view, limit, Assemblies::single(request));
        Ok(request)
    }

    /// The same as [`Front::lookup`], answered when the view shows all writes that `token` names; and when it has all rows that were
    /// there before it.
    ///
    /// Nobody is asked whether it does: it is seen from what the shards tell (`rounds.rs`), in well under a
    /// microsecond when the dataflow has caught up. Otherwise the request waits, without delaying others.
    ///
    /// # Errors
    ///
    /// Beside those of [`Front::lookup`]: [`FrontError::Invalid`] for a token that names a shard that there is not. The
    /// completion is a failure with [`Refusal::Down`] if a shard is in quarantine by way of which the writes may
    /// go, with [`Refusal::Building`] while the view is being filled, and with [`Refusal::Invalid`] if the token
    /// names writes that there have never been.
    pub fn lookup_after(
        &mut self,
        token: &Token,
        view: ViewId,
        keys: &Rows,
        limit: u32,
    ) -> Result<RequestId, FrontError> {
        self.check_keys(view, keys)?;
        self.check_read(token)?;
        let shards = self.shards();
        let mut read = self.reads.spare();
        read.body.at = None;
        read.body.keys.clone_from(keys);
        read.body.limit = limit;
        let (spread, targets) = (&self.views[view.0 as usize].spread, &mut read.wants.targets);
        targets.clear();
        for row in keys.iter() {
            let target = ShardId(owner(hash_key(row, spread), shards));
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        Ok(self.begin_read(read, token, view))
    }

    /// Asks for a piece of what `shard` holds of a view, of up to [`SCAN_BYTES_MAX`](crate::message::SCAN_BYTES_MAX) bytes but one
    /// row at least; answered under the same conditions as [`Front::lookup_after`].
    ///
    /// A scan begins at [`ScanPosition::START`] and goes on where the last piece ends: a row that is there all the time
    /// comes exactly once, whatever is written meanwhile and whatever dies.
    ///
    /// # Errors
    ///
    /// As [`Front::lookup_after`].
    pub fn scan_after(
        &mut self,
        token: &Token,
        view: ViewId,
        shard: ShardId,
        from: ScanPosition,
    ) -> Result<RequestId, FrontError> {
        self.read_at(token, view, shard, At::Scan(from))
    }

    /// Asks `shard` for a piece of a range of an ordered view, of as many bytes as a piece of a scan but one row at least;
    /// answered under the same conditions as [`Front::lookup_after`]. Each prefix of the range should be one that the shard
    /// owns ([`Front::owner_of_key`]); of others it has no rows. A key of one column has a prefix without columns, of which every
    /// shard has rows.
    ///
    /// A range goes on where the last piece ends (`from`), with the prefixes that are not over: a row that is there all the
    /// time comes exactly once, whatever is written meanwhile and whatever dies.
    ///
    /// # Errors
    ///
    /// As [`Front::lookup_after`].
    pub fn range_after(
        &mut self,
        token: &Token,
        view: ViewId,
        shard: ShardId,
        range: &Range,
        from: Option<&RangePosition>,
    ) -> Result<RequestId, FrontError> {
        self.read_at(token, view, shard, At::Range(Box::new((range.clone(), from.cloned()))))
    }

    fn read_at(
        &mut self,
        token: &Token,
        view: ViewId,
        shard: ShardId,
        at: At,
    ) -> Result<RequestId, FrontError> {
        if view.0 as usize >= self.views.len() {
            return Err(unknown("view", view.0));
        }
        if shard.0 >= self.shards() {
            return Err(FrontError::Unknown(format!("shard {shard}")));
        }
        self.check_read(token)?;
        let mut read = self.reads.spare();
        read.body.at = Some((shard, at));
        read.wants.targets.clear();
        read.wants.targets.push(shard);
        Ok(self.begin_read(read, token, view))
    }

    /// Whether a view has, on all shards, all rows that were there before it; to be asked again until it has. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`FrontError::Unknown`] if there is no such view; [`FrontError::Refused`] with [`Refusal::Down`] if a shard is in quarantine.
    pub fn is_whole(&mut self, view: ViewId) -> Result<bool, FrontError> {
        let known = self.views.get(view.0 as usize).ok_or_else(|| unknown("view", view.0))?;
        match self.reads.whole(&self.page, view, known.reach) {
            Stand::Shown => Ok(true),
            Stand::Waits(_) | Stand::Building => Ok(false),
            stand => Err(FrontError::Refused(refusal(&known.name, stand))),
        }
    }

    /// Forgets a request: it has no completion any more. A write that has been sent is done all the same.
    pub fn cancel(&mut self, request: RequestId) {
        if self.reads.cancel(request.0) {
            return;
        }
        self.assemblies.cancel(request);
        for lane in &mut self.lanes {
            lane.change_purpose(Assemblies::single(request), CANCELLED);
        }
    }

    fn begin_read(&mut self, mut read: Read<Body>, token: &Token, view: ViewId) -> RequestId {
        let request = self.new_request();
        let Front { page, lanes, assemblies, split, views, reads, .. } = self;
        let known = &views[view.0 as usize];
        read.request = request.0;
        (read.wants.view, read.wants.reach) = (view, known.reach);
        read.wants.token.clone_from(token);
        let page = &*page;
        let send = |read: &mut Read<Body>| Sender { page, lanes, assemblies, split }.read(views, read);
        match reads.begin(page, read, send) {
            Stand::Shown | Stand::Waits(_) => {}
            stand => self.assemblies.keep(vec![failed(request, &known.name, stand)]),
        }
        request
    }

    /// Goes on with the reads that wait. Returns whether any of them waits no longer.
    pub(super) fn advance_reads(&mut self) -> bool {
        let before = self.reads.waiting_count();
        if before == 0 {
            return false;
        }
        let Front { page, lanes, assemblies, split, views, reads, .. } = self;
        let page = &*page;
        let mut failures = Vec::new();
        self.waits = reads.advance(
            page,
            |read| Sender { page, lanes, assemblies, split }.read(views, read),
            |request, view, stand| {
                failures.push(failed(RequestId(request), &views[view.0 as usize].name, stand));
            },
        );
        assemblies.keep(failures);
        reads.waiting_count() < before
    }

    /// Holds back the completions from `first` on that may be of states which lack something, and goes on with the reads that
    /// wait.
    pub(super) fn check_reads(&mut self, first: usize, completions: &mut Vec<Completion>) {
        let mut index = first;
        while index < completions.len() && !self.reads.none_sent() {
            match self.reads.answered(&self.page, completions[index].request.0) {
                Answered::Good => index += 1,
                Answered::Again => drop(completions.remove(index)),
            }
        }
        if self.advance_reads() {
            self.assemblies.take_finished(completions);
        }
    }

    fn check_keys(&self, view: ViewId, keys: &Rows) -> Result<(), FrontError> {
        let known = self.views.get(view.0 as usize).ok_or_else(|| unknown("view", view.0))?;
        match Rows::validate(&keys.rows, &known.key_schema) {
            Ok(_) => Ok(()),
            Err(e) => Err(FrontError::Invalid(format!("keys of view {}: {e}", known.name))),
        }
    }

    /// A token may come from anywhere.
    fn check_read(&self, token: &Token) -> Result<(), FrontError> {
        if let Some((shard, _)) = token.positions().last()
            && shard.0 >= self.shards()
        {
            return Err(FrontError::Invalid(format!(
                "the clock {token} names shard {shard}, which there is not"
            )));
        }
        if self.reads.waiting_count() >= WAITING_COUNT_MAX {
            return Err(FrontError::Busy);
        }
        self.check_room()
    }
}

fn failed(request: RequestId, view: &str, stand: Stand) -> Completion {
    Completion { request, outcome: Outcome::Failed(refusal(view, stand)), at: Token::default() }
}

fn refusal(view: &str, stand: Stand) -> RequestError {
    let (reason, message) = match stand {
        Stand::Down(shard) => (
            Refusal::Down,
            format!(
                "shard {shard} is in quarantine, and what view {view} must show may be on its way through it"
            ),
        ),
        Stand::Building => (
            Refusal::Building,
            format!("view {view} is being filled with the rows that were there before it"),
        ),
        Stand::NeverWritten(shard) => {
            (Refusal::Invalid, format!("the clock names writes of shard {shard} that there have never been"))
        }
        Stand::Shown | Stand::Waits(_) => unreachable!("it is no failure"),
    };
    RequestError { reason, message }
}
