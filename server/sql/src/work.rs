//! A [`Change`] at work: what to read, what to write, and at the end the result.
//!
//! It never reads or writes by itself. [`Work::next`] says what to do next, until the statement is done:
//!
//! ```text
//! loop {
//!     match work.next(&mut numbers)? {
//!         Step::Read(sources) => for each row of each source: work.feed(number, &rows)?
//!         Step::Reserve(reserve) => insert it at once; numbers.reserved(&reserve, no key was there)
//!         Step::Write(write) => write it, or hold it until COMMIT
//!         Step::Done(effect) => break
//!     }
//! }
//! ```
//!
//! Between its reading and its writing others may write. A write that is refused because a key is there has to be begun
//! anew where [`Step::Write`] says so: the statement then finds what the other has written.

use crate::catalog::DefaultValue;
use crate::change::{Change, Input, OnConflict, Verb};
use crate::define::default_value;
use crate::error::{Result, SqlError};
use crate::evaluate::{Context, check_parameters};
use crate::numbers::{Counter, Numbers, Reserve};
use crate::scan::{Limits, Run, Source};
use crate::write::checked;
use operators::expr::Literal;
use operators::{Row, RowBuilder, Rows, TableId, WriteKind};
use std::collections::{HashMap, HashSet, VecDeque};

/// Rows to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsToWrite {
    /// The table.
    pub table: TableId,
    /// What is done with them.
    pub kind: WriteKind,
    /// The rows.
    pub rows: Rows,
    /// Where a key is there already: whether the statement is to be begun anew, rather than to fail.
    pub again: bool,
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
    /// Write rows.
    Write(RowsToWrite),
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
        new: Rows,
        there: Rows,
    },
    Write(VecDeque<RowsToWrite>),
}

/// A change at work.
#[derive(Debug)]
pub struct Work<'a> {
    change: &'a Change,
    context: Context<'a>,
    limits: Limits,
    state: State,
    /// Rows of a query that are to be inserted, while numbers for them are being taken.
    found: Option<Rows>,
    /// Rows inserted, updated or deleted, as RETURNING sees them.
    shown: Rows,
    returning: Option<Rows>,
    held_bytes: u64,
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
            shown: Rows::new(),
            returning: None,
            held_bytes: 0,
        })
    }
}

impl Work<'_> {
    /// What to do next, after all has been done that was asked for before.
    pub fn next(&mut self, numbers: &mut Numbers) -> Result<Step> {
        loop {
            let state = std::mem::replace(&mut self.state, State::Begin);
            if let State::Write(mut steps) = state {
                // Before anything is written, since it may fail.
                if self.returning.is_none() {
                    self.returning = self.returned()?;
                }
                let Some(step) = steps.pop_front() else { return Ok(self.done()) };
                self.state = State::Write(steps);
                return Ok(Step::Write(step));
            }
            match state {
                State::Blocks(counter, next_block) => numbers.learn(counter, next_block),
                State::Query(run) => self.found = Some(run.finish()?),
                State::Keys { new, there } => {
                    self.resolve(&new, &there)?;
                    continue;
                }
                State::Begin | State::Write(_) => {}
            }
            if let Some(step) = self.advance(numbers)? {
                return Ok(step);
            }
        }
    }

    /// Takes rows of what was to be read.
    pub fn feed(&mut self, source: usize, rows: &Rows) -> Result<()> {
        match &mut self.state {
            State::Query(run) => return run.feed(source, rows),
            State::Keys { there, .. } => {
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
        if let (Input::Query { scan, .. }, None) = (&self.change.input, &self.found) {
            let run = scan.start(&self.context, self.limits)?;
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
                self.insert(new)
            }
            Verb::Update => {
                let found = self.found.take().expect("it has been read");
                self.state = State::Write(self.update(&found)?);
                Ok(None)
            }
            Verb::Delete | Verb::Truncate => {
                let found = self.found.take().expect("it has been read");
                self.state = State::Write(self.delete(&found));
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
                    keys: Some(keys),
                    limit: 1,
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
        self.change.check(builder.finish(), &self.context)
    }

    fn insert(&mut self, new: Rows) -> Result<Option<Step>> {
        if new.is_empty() {
            self.state = State::Write(VecDeque::new());
            return Ok(None);
        }
        if matches!(self.change.conflict, OnConflict::Error) {
            self.shown = new.clone();
            self.state = State::Write(VecDeque::from([self.step(WriteKind::Insert, new, false)]));
            return Ok(None);
        }
        let mut keys = Rows::new();
        let mut seen = HashSet::new();
        for row in &new {
            let key = self.key_of(row);
            if seen.insert(key.clone()) {
                keys.push(Row::at(&key));
            }
        }
        self.state = State::Keys { new, there: Rows::new() };
        let object = self.change.name.clone();
        let view = self.change.view;
        Ok(Some(Step::Read(vec![Source { object, view, keys: Some(keys), limit: u32::MAX }])))
    }

    /// ON CONFLICT: what becomes of new rows, given the rows that have their keys.
    fn resolve(&mut self, new: &Rows, there: &Rows) -> Result<()> {
        let there: HashMap<Vec<u8>, Row<'_>> = there.iter().map(|row| (self.key_of(row), row)).collect();
        let mut seen = HashSet::new();
        let (mut inserted, mut updated, mut shown) = (Rows::new(), Rows::new(), Rows::new());
        for row in new {
            let key = self.key_of(row);
            let old = there.get(&key);
            let is_first = seen.insert(key);
            match (&self.change.conflict, old) {
                (OnConflict::Update { .. }, _) if !is_first => {
                    return Err(SqlError::new(
                        "21000",
                        "ON CONFLICT DO UPDATE command cannot affect row a second time",
                    )
                    .hint("Two of the rows to be inserted have the same key."));
                }
                (_, None) if is_first => {
                    inserted.push(row);
                    shown.push(row);
                }
                (OnConflict::Update { set, condition }, Some(old)) => {
                    let merged = self.change.updated(*old, row, set, condition.as_ref(), &self.context)?;
                    for row in &merged {
                        updated.push(row);
                        shown.push(row);
                    }
                }
                _ => {}
            }
        }
        let mut steps = VecDeque::new();
        if !inserted.is_empty() {
            steps.push_back(self.step(WriteKind::Insert, inserted, true));
        }
        if !updated.is_empty() {
            steps.push_back(self.step(WriteKind::Upsert, updated, false));
        }
        self.shown = shown;
        self.state = State::Write(steps);
        Ok(())
    }

    /// UPDATE: rows with new keys are inserted first and those with old ones removed last, so that no row is ever missing.
    fn update(&mut self, found: &Rows) -> Result<VecDeque<RowsToWrite>> {
        let Input::Query { cells, .. } = &self.change.input else { unreachable!("UPDATE reads") };
        let Change { name, columns, .. } = self.change;
        let mut old_keys: Vec<Vec<u8>> = Vec::new();
        let mut seen = HashSet::new();
        let mut new = Rows::new();
        let mut builder = RowBuilder::new();
        for row in found {
            let key = self.key_of(row);
            // A row that is joined with several others is updated once.
            if !seen.insert(key.clone()) {
                continue;
            }
            old_keys.push(key);
            builder.start(columns.len());
            for (column, cell) in columns.iter().zip(cells) {
                let value = match cell {
                    Some(cell) => cell.value(Some(row), &self.context)?,
                    None => default_value(column, self.context.now),
                };
                builder.push(checked(name, column, value)?.datum());
            }
            self.change.check(builder.finish(), &self.context)?;
            new.push(builder.finish());
        }
        let (mut moved, mut kept) = (Rows::new(), Rows::new());
        let mut new_keys = HashSet::new();
        for row in &new {
            let key = self.key_of(row);
            if seen.contains(&key) {
                kept.push(row)
            } else {
                moved.push(row)
            }
            if !new_keys.insert(key) {
                return Err(SqlError::new("23505", "duplicate key value violates unique constraint")
                    .detail("Two of the rows updated would have the same primary key."));
            }
        }
        let mut gone = Rows::new();
        old_keys.iter().filter(|key| !new_keys.contains(*key)).for_each(|key| gone.push(Row::at(key)));
        self.shown = new;
        let steps = [(WriteKind::Insert, moved), (WriteKind::Upsert, kept), (WriteKind::Delete, gone)];
        let steps = steps.into_iter().filter(|(_, rows)| !rows.is_empty());
        Ok(steps.map(|(kind, rows)| self.step(kind, rows, false)).collect())
    }

    fn delete(&mut self, found: &Rows) -> VecDeque<RowsToWrite> {
        let mut keys = Rows::new();
        let mut seen = HashSet::new();
        for row in found {
            let key = self.key_of(row);
            if seen.insert(key.clone()) {
                keys.push(Row::at(&key));
                self.shown.push(row);
            }
        }
        let step = (!keys.is_empty()).then(|| self.step(WriteKind::Delete, keys, false));
        step.into_iter().collect()
    }

    fn step(&self, kind: WriteKind, rows: Rows, again: bool) -> RowsToWrite {
        RowsToWrite { table: self.change.table, kind, rows, again }
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

    fn done(&mut self) -> Step {
        let (count, returning) = (u64::from(self.shown.count), self.returning.take());
        self.state = State::Write(VecDeque::new());
        Step::Done(Effect { verb: self.change.verb, count, returning })
    }
}
