//! Queries that no key answers: their rows are pulled from all shards, piece by piece, and run through operators here.

use operators::{Rows, ScanPosition, ViewId};
use runtime::ShardId;
use runtime::message::Refusal;
use sql::scan::{Limits, Run};
use sql::{Context, Read, Scan, Source, SqlError};

use super::execute::{BUILDING_PAUSE, Done, KEYS_AT_ONCE, request_error};
use super::pump::{Answered, Ticket};
use super::session::Session;

/// Memory for what a query keeps and for its result.
pub const SCAN_MEMORY_BYTES: u64 = 256 << 20;

impl Session {
    /// Runs a query over what the shards hold.
    pub(super) async fn scan(&mut self, scan: &Scan, context: &Context<'_>) -> Result<Done, SqlError> {
        let mut run = scan.start(context, Limits { memory_bytes: SCAN_MEMORY_BYTES })?;
        self.feed(&mut run).await?;
        Ok(Done::rows(run.finish()?))
    }

    /// Feeds a run all that it reads.
    pub(super) async fn feed(&mut self, run: &mut Run) -> Result<(), SqlError> {
        for number in 0..run.sources().len() {
            let source = run.sources()[number].clone();
            self.pull(&source, &mut |rows| run.feed(number, rows)).await?;
        }
        Ok(())
    }

    /// Gives all rows of a source, as the session sees them.
    pub(super) async fn pull(
        &mut self,
        source: &Source,
        give: &mut impl FnMut(&Rows) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        let (keys, limit) = match &source.read {
            Read::All => return self.pull_all(source.view, give).await,
            Read::Keys(keys, limit) => (keys, *limit),
            Read::Range(range) => {
                return self.pull_range(source.view, range, &mut |_, rows| give(rows).map(|()| true)).await;
            }
        };
        let mut keys = keys.iter().peekable();
        while keys.peek().is_some() {
            let mut some = Rows::new();
            keys.by_ref().take(KEYS_AT_ONCE).for_each(|key| some.push(key));
            let found = self.seen(source.view, &some, limit).await?;
            give(&found)?;
        }
        Ok(())
    }

    async fn pull_all(
        &mut self,
        view: ViewId,
        give: &mut impl FnMut(&Rows) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        let changed = self.changed_table(view);
        let shards = self.database.pump.with_front(|front| front.shards());
        for shard in (0..shards).map(ShardId) {
            let mut next = Some(ScanPosition::START);
            while let Some(from) = next {
                let ticket = self.ask_scan(view, shard, from).await?;
                match self.interrupt.guard(ticket.answer()).await? {
                    Ok(Answered::Scanned { rows, next: after }) => {
                        match &changed {
                            Some((table, _)) => {
                                let kept = self.transaction.overlay().kept(*table, &rows);
                                give(&kept)?;
                            }
                            None => give(&rows)?,
                        }
                        next = after;
                    }
                    Ok(_) => unreachable!("a scan scans"),
                    Err(error) if error.reason == Refusal::Building => {
                        self.interrupt.guard(tokio::time::sleep(BUILDING_PAUSE)).await?;
                    }
                    Err(error) => return Err(request_error(&error)),
                }
            }
        }
        if let Some((table, _)) = changed {
            let mut rows = Rows::new();
            self.transaction.overlay().changed(table, None, |row| rows.push(row));
            give(&rows)?;
        }
        Ok(())
    }

    async fn ask_scan(
        &mut self,
        view: ViewId,
        shard: ShardId,
        from: ScanPosition,
    ) -> Result<Ticket, SqlError> {
        let pump = self.database.pump.clone();
        let token = self.read_token();
        self.interrupt
            .guard(pump.scan(&token, view, shard, from))
            .await?
            .map_err(|error| request_error(&error))
    }
}
