//! A [`Change`] at work: what to read, what to write, and at the end the result.
//!
//! It never reads or writes by itself. [`Work::next`] says what to do next, until the statement is done:
//!
//! ```text
//! loop {
//!     match work.next(&mut numbers)? {
//!         Step::Read(sources) => for each row of each source: work.feed(number, &rows)?
//!         Step::Reserve(reserve) => insert it at once; numbers.reserved(&reserve, no key was there)
//!         Step::Write(writes) => make them, or hold them until COMMIT; work.refused(those that others were faster than)?
//!         Step::Done(effect) => break
//!     }
//! }
//! ```
//!
//! Between its reading and its writing others may write. So a row is replaced or removed only as what it was read as, and a
//! write may be refused. The statement is then run again for the rows of that write, as PostgreSQL does at READ COMMITTED:
//! it reads what the other has written. Rows of other shards may have been written by then, and stay so.

mod writes;

use crate::catalog::DefaultValue;
use crate::change::{Change, Input, Verb};
use crate::define::default_value;
use crate::error::{Result, SqlError};
use crate::evaluate::{Context, check_parameters};
use crate::numbers::{Counter, Numbers, Reserve};
use crate::scan::{Limits, Read, Run, Source};
use crate::write::checked;
use operators::expr::Literal;
use operators::{Row, RowBuilder, Rows, TableId, WriteKind};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

/// Rows to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsToWrite {
    /// The table.
    pub table: TableId,
    /// What is done with them.
    pub kind: WriteKind,
    /// The rows.
    pub rows: Rows,
}

/// What a statement has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// What it was.
    pub verb: Verb,
    /// Rows inserted, updated or deleted.
    pub count: u64,
    /// What RETURNING gives.
    pub returning: Option<Rows>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Read all rows of these, and feed them.
    Read(Vec<Source>),
    /// Take numbers.
    Reserve(Reserve),
    /// Write rows, those of one shard all at once.
    Write(Vec<RowsToWrite>),
    /// Nothing more.
    Done(Effect),
}

#[derive(Debug)]
enum State {
    Begin,
    /// Looks for the blocks of a counter that are taken.
    Blocks(Counter, i64),
    Query(Box<Run>),
    /// Looks for rows with the keys of new ones.
    Keys {
        there: Rows,
    },
    Write,
}

/// What is done where others were faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Faster {
    /// The statement fails: a key is there.
    KeyIsThere,
    /// The rows are looked at again.
    LookAgain,
    /// The new rows of those that were to be removed are removed, and the statement fails.
    TakeBack,
    /// The statement fails: somebody has changed even that.
    Fail,
}

type Writes = (Vec<RowsToWrite>, Faster);

/// A change at work.
#[derive(Debug)]
pub struct Work<'a> {
    change: &'a Change,
    context: Context<'a>,
    limits: Limits,
    state: State,
    /// Rows of a query that are to be inserted, while numbers for them are being taken.
    found: Option<Rows>,
    /// What is to be written, one after another.
    steps: VecDeque<Writes>,
    /// What becomes of the writes that are being made, if others were faster.
    faster: Faster,
    /// The keys of the rows that are looked at again; all rows at first.
    only: Option<HashSet<Vec<u8>>>,
    /// New rows, as long as others may turn out to have their keys.
    new: Rows,
    /// Rows that get other keys: the keys before, and the rows then.
    moved: HashMap<Vec<u8>, Vec<u8>>,
    /// What the statement fails with when all has been written.
    failure: Option<SqlError>,
    /// Rows inserted, updated or deleted, as RETURNING sees them.
    shown: Rows,
    returning: Option<Rows>,
    held_bytes: u64,
    /// What the subqueries gave that lock rows.
    before: Vec<Rows>,
}

impl Change {
    /// Begins to carry it out.
    pub fn start<'a>(&'a self, context: &Context<'a>, limits: Limits) -> Result<Work<'a>> {
        check_parameters(&self.parameters, context)?;
        Ok(Work {
            change: self,
            context: *context,
            limits,
            state: State::Begin,
            found: None,
            steps: VecDeque::new(),
            faster: Faster::Fail,
            only: None,
            new: Rows::new(),
            moved: HashMap::new(),
            failure: None,
            shown: Rows::new(),
            returning: None,
            held_bytes: 0,
            before: Vec::new(),
        })
    }
}

impl Work<'_> {
    /// Told before all else what the next of the [`Change`]'s subqueries that lock rows has given.
    pub fn after(&mut self, rows: Rows) {
        self.before.push(rows);
    }

    /// What to do next, after all has been done that was asked for before.
    pub fn next(&mut self, numbers: &mut Numbers) -> Result<Step> {
        loop {
            match std::mem::replace(&mut self.state, State::Begin) {
                State::Blocks(counter, next_block) => numbers.learn(counter, next_block),
                State::Query(run) => self.found = Some(run.finish()?),
                State::Keys { there } => {
                    self.resolve(&there)?;
                    continue;
                }
                State::Begin => {}
                State::Write => {
                    self.state = State::Write;
                    return self.next_write();
                }
            }
            if let Some(step) = self.advance(numbers)? {
                return Ok(step);
            }
        }
    }

    fn next_write(&mut self) -> Result<Step> {
        // Before anything is written, since it may fail.
        if self.returning.is_none() {
            self.returning = self.returned()?;
        }
        match self.steps.pop_front() {
            None => self.done(),
            Some((writes, faster)) => {
                self.faster = faster;
                Ok(Step::Write(writes))
            }
        }
    }

    /// Whether the keys of the rows to insert must not be there, which may be looked at before anything is written.
    pub fn must_be_new(&self) -> bool {
        self.faster == Faster::KeyIsThere
    }

    /// The keys of rows to be written which may be looked at again by telling that they were refused; none if they may not.
    pub fn contended(&self, writes: &[RowsToWrite]) -> BTreeSet<Vec<u8>> {
        if self.faster != Faster::LookAgain {
            return BTreeSet::new();
        }
        writes.iter().flat_map(|write| write.rows.iter()).map(|row| self.key_of(row)).collect()
    }

    /// Told after [`Step::Write`] which rows were not written because others were faster: these have their keys, or have changed
    /// them. What comes next is found by [`Work::next`].
    ///
    /// # Errors
    ///
    /// Where the statement fails over it: what has been written of it then stays.
    pub fn refused(&mut self, refused: &[RowsToWrite]) -> Result<()> {
        if refused.is_empty() {
            return Ok(());
        }
        let rows = refused.iter().flat_map(|write| write.rows.iter());
        let keys: HashSet<Vec<u8>> = rows.map(|row| self.key_of(row)).collect();
        match self.faster {
            Faster::KeyIsThere => Err(key_is_there()),
            Faster::Fail => Err(others_were_faster()),
            Faster::TakeBack => {
                let mut back = Rows::new();
                keys.iter().filter_map(|key| self.moved.get(key)).for_each(|row| back.push(Row::at(row)));
                self.steps = VecDeque::from([(vec![self.write(WriteKind::Remove, back)], Faster::Fail)]);
                self.failure = Some(others_were_faster());
                Ok(())
            }
            Faster::LookAgain => {
                let mut shown = Rows::new();
                let kept = self.shown.iter().filter(|row| !keys.contains(&self.key_of(*row)));
                kept.for_each(|row| shown.push(row));
                self.shown = shown;
                self.returning = None;
                self.held_bytes = 0;
                self.only = Some(keys);
                self.state = State::Begin;
                Ok(())
            }
        }
    }

    /// Takes rows of what was to be read.
    pub fn feed(&mut self, source: usize, rows: &Rows) -> Result<()> {
        match &mut self.state {
            State::Query(run) => return run.feed(source, rows),
            State::Keys { there } => {
                for row in rows {
                    there.push(row);
                }
                self.held_bytes += rows.rows.len() as u64;
            }
            State::Blocks(_, next_block) => {
                for row in rows {
                    *next_block = (*next_block).max(row.int(2) + 1);
                }
            }
            _ => panic!("nothing was to be read"),
        }
        if self.held_bytes > self.limits.memory_bytes {
            return Err(SqlError::new("53200", "the statement changes more rows than memory may hold")
                .hint("Change fewer rows at once."));
        }
        Ok(())
    }

    /// From the rows to insert, update or delete to what is to be written; or what is needed before.
    fn advance(&mut self, numbers: &mut Numbers) -> Result<Option<Step>> {
        if self.only.is_some() && !self.new.is_empty() {
            return Ok(Some(self.look_for_keys()));
        }
        if let (Input::Query { scan, .. }, None) = (&self.change.input, &self.found) {
            let run = scan.start_after(&self.before, &self.context, self.limits)?;
            let sources = run.sources().to_vec();
            self.state = State::Query(Box::new(run));
            return Ok((!sources.is_empty()).then_some(Step::Read(sources)));
        }
        match self.change.verb {
            Verb::Insert => {
                if let Some(step) = self.take_numbers(numbers)? {
                    return Ok(Some(step));
                }
                let new = self.new_rows(numbers)?;
                Ok(self.insert(new))
            }
            Verb::Update => {
                let found = self.found.take().expect("it has been read");
                self.update(&found)?;
                self.state = State::Write;
                Ok(None)
            }
            Verb::Delete | Verb::Truncate => {
                let found = self.found.take().expect("it has been read");
                self.delete(&found);
                self.state = State::Write;
                Ok(None)
            }
        }
    }

    /// What is to be done so that there are numbers for all rows.
    fn take_numbers(&mut self, numbers: &mut Numbers) -> Result<Option<Step>> {
        let Some(blocks) = self.change.blocks else { return Ok(None) };
        for (at, column) in self.change.columns.iter().enumerate() {
            if !matches!(column.default, Some(DefaultValue::Number)) {
                continue;
            }
            let needed = match &self.change.input {
                Input::Values(rows) => rows.iter().filter(|row| row[at].is_none()).count(),
                Input::Query { cells, .. } if cells[at].is_none() => {
                    self.found.as_ref().map_or(0, |rows| rows.count as usize)
                }
                Input::Query { .. } => 0,
            };
            let counter = Counter { table: self.change.counted_as, column: at as u16 };
            if needed > 0 && !numbers.knows(counter) {
                let mut keys = Rows::new();
                let of = [i64::from(counter.table), i64::from(counter.column)];
                keys.push_values(&mut RowBuilder::new(), &of.map(operators::Datum::Int));
                self.state = State::Blocks(counter, 0);
                let object = "the numbers in use".to_owned();
                return Ok(Some(Step::Read(vec![Source {
                    object,
                    view: blocks.view,
                    read: Read::Keys(keys, 1),
                }])));
            }
            if let Some(reserve) = numbers.reserve(blocks.table, counter, needed as i64) {
                return Ok(Some(Step::Reserve(reserve)));
            }
        }
        Ok(None)
    }

    /// The rows to insert.
    fn new_rows(&mut self, numbers: &mut Numbers) -> Result<Rows> {
        let mut rows = Rows::new();
        let mut builder = RowBuilder::new();
        match &self.change.input {
            Input::Values(list) => {
                for cells in list {
                    self.new_row(cells, None, numbers, &mut builder)?;
                    rows.push(builder.finish());
                }
            }
            Input::Query { cells, .. } => {
                let found = self.found.take().expect("it has been read");
                for row in &found {
                    self.new_row(cells, Some(row), numbers, &mut builder)?;
                    rows.push(builder.finish());
                }
            }
        }
        Ok(rows)
    }

    fn new_row(
        &self,
        cells: &[Option<crate::evaluate::Cell>],
        from: Option<Row<'_>>,
        numbers: &mut Numbers,
        builder: &mut RowBuilder,
    ) -> Result<()> {
        let Change { name, columns, counted_as, .. } = self.change;
        builder.start(columns.len());
        for (at, (column, cell)) in columns.iter().zip(cells).enumerate() {
            let value = match (cell, &column.default) {
                (Some(cell), _) => cell.value(from, &self.context)?,
                (None, Some(DefaultValue::Number)) => {
                    Literal::Int(numbers.give(Counter { table: *counted_as, column: at as u16 }))
                }
                (None, Some(DefaultValue::Uuid)) => Literal::Text(numbers.uuid()),
                (None, _) => default_value(column, self.context.now),
            };
            builder.push(checked(name, column, value)?.datum());
        }
        self.change.checks.check(builder.finish(), &self.context)
    }

    /// The primary key of a row, as a row of its own.
    fn key_of(&self, row: Row<'_>) -> Vec<u8> {
        let mut builder = RowBuilder::new();
        builder.start(self.change.key.len());
        for at in &self.change.key {
            let at = usize::from(*at);
            builder.copy(row, at, self.change.columns[at].ty.engine().in_tail());
        }
        builder.finish().bytes_all().to_vec()
    }

    /// What RETURNING gives.
    fn returned(&self) -> Result<Option<Rows>> {
        let Some(evaluator) = &self.change.returning else { return Ok(None) };
        let mut rows = Rows::new();
        let mut builder = RowBuilder::new();
        for row in &self.shown {
            let values = evaluator.values(Some(row), &self.context)?;
            builder.start(values.len());
            values.iter().for_each(|value| builder.push(value.datum()));
            rows.push(builder.finish());
        }
        Ok(Some(rows))
    }

    fn done(&mut self) -> Result<Step> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let (count, returning) = (u64::from(self.shown.count), self.returning.take());
        Ok(Step::Done(Effect { verb: self.change.verb, count, returning }))
    }
}

fn others_were_faster() -> SqlError {
    SqlError::new("40001", "could not serialize access due to concurrent update")
        .hint("Run the statement again.")
}

fn key_is_there() -> SqlError {
    SqlError::new("23505", "duplicate key value violates unique constraint")
}
