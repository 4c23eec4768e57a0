//! A database of one shard: statements in, texts out.

use std::collections::HashMap;

use operators::expr::Literal;
use operators::{Dataflow, Outputs, Range, Row, RowBuilder, Rows, ViewId, WriteKind};
use sql::catalog::Change::Several;
use sql::role::{Asker, Material, Secret, Verifier};
use sql::{
    Bound, Catalog, Change, Context, Definition, Limits, Locking, Numbers, Prepared, Read, ResultColumn,
    Scan, Source, SqlError, Step, bind, parse, text,
};

/// The time of every statement: 2020-01-01.
pub const NOW: i64 = 1_577_836_800_000_000;

/// One shard with its catalogue.
pub struct Database {
    pub catalog: Catalog,
    dataflow: Dataflow,
    /// What a scan may take.
    pub limits: Limits,
    numbers: Numbers,
    /// What PREPARE has kept.
    kept: HashMap<String, Prepared>,
    /// Rows written by the last statement.
    pub changed: u64,
}

/// A result: rows of texts, NULL being none.
pub type Table = Vec<Vec<Option<String>>>;

impl Database {
    pub fn new() -> Self {
        let limits = Limits { memory_bytes: 64 << 20 };
        Database {
            catalog: Catalog::new(),
            dataflow: Dataflow::new(0, 1),
            limits,
            numbers: Numbers::new(7),
            kept: HashMap::new(),
            changed: 0,
        }
    }

    /// Runs statements and gives the result of the last.
    pub fn run(&mut self, sql: &str) -> Result<Table, SqlError> {
        Ok(self.run_typed(sql)?.1)
    }

    /// The same with the columns of the result.
    pub fn run_typed(&mut self, sql: &str) -> Result<(Vec<ResultColumn>, Table), SqlError> {
        let mut result = (Vec::new(), Vec::new());
        for statement in parse(sql)? {
            self.changed = 0;
            let prepared = bind(&self.catalog, &statement, &[])?;
            let table = self.execute(&prepared, &[])?;
            result = (prepared.columns, table);
        }
        Ok(result)
    }

    /// Runs one statement with parameters, given as texts.
    pub fn run_with(&mut self, sql: &str, parameters: &[&str]) -> Result<Table, SqlError> {
        let prepared = bind(&self.catalog, &parse(sql)?[0], &[])?;
        let values = prepared.parameters.iter().zip(parameters);
        let values: Vec<Literal> =
            values.map(|(ty, text)| text::parse(*ty, text)).collect::<Result<_, SqlError>>()?;
        self.execute(&prepared, &values)
    }

    /// The error of a statement.
    pub fn error(&mut self, sql: &str) -> SqlError {
        match self.run(sql) {
            Err(error) => error,
            Ok(table) => panic!("{sql}: no error but {table:?}"),
        }
    }

    fn execute(&mut self, prepared: &Prepared, parameters: &[Literal]) -> Result<Table, SqlError> {
        let context = Context { parameters, now: NOW };
        let rows = match &prepared.bound {
            Bound::Define(Definition::Entry(entry)) => {
                let rules =
                    if matches!(entry.change, Several(_)) { Vec::new() } else { entry.change.rules() };
                for rule in rules {
                    if self.run(&rule.broken)? != [[Some("0".to_owned())]] {
                        return Err(rule.error);
                    }
                }
                self.catalog.apply(entry)?;
                self.dataflow.install(self.catalog.plan()).expect("the plan fits what is installed");
                fill(&mut self.dataflow);
                Rows::new()
            }
            Bound::Role(statement) => {
                let verifier = Verifier {
                    iterations: 4096,
                    salt: vec![0; 16],
                    stored_key: [0; 32],
                    server_key: [0; 32],
                };
                let material = Material { verifier: Some(verifier), secret: Secret([0; 32]) };
                let asker = Asker { name: "tester", is_superuser: true };
                if let Definition::Entry(entry) = statement.definition(&self.catalog, asker, &material)? {
                    self.catalog.apply(&entry)?;
                }
                Rows::new()
            }
            Bound::Insert(write) => {
                let rows = write.rows(&context)?;
                self.write(write.table, write.kind, rows)?;
                Rows::new()
            }
            Bound::Change(change) => self.change(change, &context)?,
            Bound::Lookup(lookup) => self.look_up(lookup, &context)?,
            Bound::Constant(constant) => {
                constant.rows(&context, |setting| Ok(setting.value.unwrap_or_default()))?
            }
            Bound::Query(scan) => self.scan(scan, &context)?,
            Bound::Locking(locking) => self.lock(locking, &context)?,
            Bound::Explain(lines) => return Ok(lines.iter().map(|line| vec![Some(line.clone())]).collect()),
            Bound::Prepare(preparation) => {
                let kept = bind(&self.catalog, &preparation.parsed, &preparation.declared)?;
                self.kept.insert(preparation.name.clone(), kept);
                Rows::new()
            }
            Bound::Execute(execution) => {
                let kept = self.kept.get(&execution.name).cloned();
                let kept = kept.ok_or_else(|| SqlError::new("26000", "there is no such statement"))?;
                return self.execute(&kept, &execution.values(&kept.parameters, NOW)?);
            }
            Bound::Define(Definition::Nothing(_)) | Bound::Declare(_) | Bound::Session(_) => Rows::new(),
        };
        let types: Vec<sql::SqlType> = prepared.columns.iter().map(|column| column.ty).collect();
        Ok(rows.iter().map(|row| texts(row, &types)).collect())
    }

    fn write(&mut self, table: operators::TableId, kind: WriteKind, rows: Rows) -> Result<u32, SqlError> {
        self.dataflow.validate_write(table, kind, &rows.rows).expect("the binder makes rows that fit");
        let changed = self
            .dataflow
            .write(table, kind, &rows.rows)
            .map_err(|error| SqlError::new("23505", error.to_string()))?;
        self.dataflow.finish(&mut Outputs::default());
        self.changed += u64::from(changed);
        Ok(changed)
    }

    fn look_up(&self, lookup: &sql::Lookup, context: &Context<'_>) -> Result<Rows, SqlError> {
        if let Some(range) = lookup.range(context)? {
            let (mut wanted, mut taking) = (Rows::new(), lookup.take(&range, context)?);
            for rows in self.pull_range(lookup.view, range) {
                if !taking.take(0, &rows, &mut wanted)? {
                    break;
                }
            }
            return lookup.result(&wanted, context);
        }
        let keys = lookup.keys(context)?;
        self.dataflow.validate_keys(lookup.view, &keys.rows).expect("the binder makes keys that fit");
        let mut found = Rows::new();
        for key in &keys {
            let limit = lookup.limit(context)?;
            self.dataflow.lookup(lookup.view, key, limit, &mut found).expect("the view is there");
        }
        lookup.result(&found, context)
    }

    /// Forgets what a front knows by itself.
    pub fn restart_front(&mut self) {
        self.numbers = Numbers::new(8);
    }

    /// A write of several steps.
    fn change(&mut self, change: &Change, context: &Context<'_>) -> Result<Rows, SqlError> {
        let mut work = change.start(context, self.limits)?;
        for locking in &change.locking {
            work.after(self.lock(locking, context)?);
        }
        loop {
            let step = work.next(&mut self.numbers)?;
            match step {
                Step::Read(sources) => {
                    for (number, source) in sources.iter().enumerate() {
                        for rows in self.pull(source) {
                            work.feed(number, &rows)?;
                        }
                    }
                }
                Step::Reserve(reserve) => {
                    let before = self.changed;
                    let taken = self.write(reserve.table, reserve.kind, reserve.rows.clone()).is_ok();
                    self.changed = before;
                    self.numbers.reserved(&reserve, taken);
                }
                Step::Write(writes) => {
                    for write in writes {
                        self.write(write.table, write.kind, write.rows)?;
                    }
                    work.refused(&[])?;
                }
                Step::Done(effect) => {
                    self.changed = effect.count;
                    return Ok(effect.returning.unwrap_or_default());
                }
            }
        }
    }

    /// All rows of a source, in pieces.
    fn pull(&self, source: &Source) -> Vec<Rows> {
        let (keys, limit) = match &source.read {
            Read::All => return vec![self.dataflow.scan(source.view).expect("the view is there")],
            Read::Range(range) => return self.pull_range(source.view, (**range).clone()),
            Read::Keys(keys, limit) => (keys, *limit),
        };
        let rows = keys.iter().map(|key| {
            let mut found = Rows::new();
            self.dataflow.lookup(source.view, key, limit, &mut found).expect("the view is there");
            found
        });
        rows.collect()
    }

    /// All rows of a range, in pieces.
    fn pull_range(&self, view: ViewId, mut range: Range) -> Vec<Rows> {
        let (mut pieces, mut from) = (Vec::new(), None);
        while !range.prefixes.is_empty() {
            let mut rows = Rows::new();
            let piece =
                self.dataflow.range(view, range.as_ref(), from, 200, &mut rows).expect("it is ordered");
            let done = piece.counts.len() - usize::from(piece.next.is_some());
            let mut rest = Rows::new();
            range.prefixes.iter().skip(done).for_each(|prefix| rest.push(prefix));
            (range.prefixes, from) = (rest, piece.next);
            pieces.push(rows);
        }
        pieces
    }

    /// A query whose rows are locked, where there is nobody else.
    fn lock(&self, locking: &Locking, context: &Context<'_>) -> Result<Rows, SqlError> {
        let found = match &locking.query.bound {
            Bound::Lookup(lookup) => self.look_up(lookup, context)?,
            Bound::Query(scan) => self.scan(scan, context)?,
            other => panic!("what is locked is read: {other:?}"),
        };
        let (offset, limit) = locking.cut(context)?;
        let (mut result, mut builder) = (Rows::new(), RowBuilder::new());
        for row in found.iter().skip(offset).take(limit) {
            for target in &locking.targets {
                let (mut key, mut as_read) = (RowBuilder::new(), RowBuilder::new());
                let mut there = Rows::new();
                let key = target.key(row, &mut key);
                self.dataflow.lookup(target.view, key, 1, &mut there).expect("the view is there");
                assert_eq!(there.iter().next(), Some(target.as_read(row, &mut as_read)));
            }
            locking.show(row, &mut builder, &mut result);
        }
        Ok(result)
    }

    /// A query over what is there.
    fn scan(&self, scan: &Scan, context: &Context<'_>) -> Result<Rows, SqlError> {
        let mut run = scan.start(context, self.limits)?;
        for (number, source) in run.sources().to_vec().iter().enumerate() {
            for rows in self.pull(source) {
                run.feed(number, &rows)?;
            }
        }
        run.finish()
    }

    /// All rows of a materialised view, in no order.
    pub fn all(&self, view: &str) -> Table {
        let object = self.catalog.object(view).expect("the view is there");
        let rows = self.dataflow.scan(self.catalog.view(&object.paths[0]).id).expect("the view is there");
        let types: Vec<sql::SqlType> = object.columns.iter().map(|column| column.ty).collect();
        rows.iter().map(|row| texts(row, &types)).collect()
    }
}

/// Lets everything flow that was there before its readers.
fn fill(dataflow: &mut Dataflow) {
    let (_, ticks) = dataflow.ticks();
    dataflow.tick(ticks);
    dataflow.finish(&mut Outputs::default());
}

fn texts(row: Row<'_>, types: &[sql::SqlType]) -> Vec<Option<String>> {
    types.iter().enumerate().map(|(at, ty)| text::column_text(*ty, row, at)).collect()
}

/// A result as one text: `1|a;2|NULL`.
pub fn joined(table: &Table) -> String {
    let rows = table.iter().map(|row| {
        let values: Vec<&str> = row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
        values.join("|")
    });
    rows.collect::<Vec<_>>().join(";")
}
