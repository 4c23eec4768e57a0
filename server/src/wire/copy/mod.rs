//! COPY: rows in and out by the stream, in bounded memory.
//!
//! What is copied in is written in pieces as it comes, with a bounded number of pieces under way: a shard that is slow slows
//! the client down. Outside of a transaction the pieces that were written stay when a later one fails.

mod options;
mod read;
mod write;

use std::collections::VecDeque;

use operators::{Rows, WriteKind};
use sql::{CopyIn, Parsed, SqlError};

pub use options::{Copy, Subject, parse};

use super::connection::End;
use super::decode::Message;
use super::execute::now;
use super::pump::Ticket;
use super::session::Session;
use super::statement::Statement;
use super::stream::Io;
use super::tag::Tag;
use options::Format;
use read::{Fields, Reader};

/// Bytes of rows that are written at once.
const PIECE_BYTES: usize = 128 << 10;
/// Pieces that are under way at once: 2 MiB, less than the rings hold.
const PIECES_MAX: usize = 16;

/// Rows that a client is copying in.
pub struct Copying {
    /// Behind a pointer each, for sessions that copy nothing.
    reader: Reader,
    rows: Gathering,
    tickets: VecDeque<Ticket>,
    is_simple: bool,
}

/// Rows until they are written.
struct Gathering {
    copy: CopyIn,
    is_binary: bool,
    rows: Rows,
    count: u64,
}

impl Copying {
    /// Takes the next row of what has come; false if there is none.
    fn take_row(&mut self, at_end: bool) -> Result<bool, SqlError> {
        let taken = match self.reader.next(at_end) {
            Ok(None) => return Ok(false),
            Ok(Some(fields)) => self.rows.take(&fields),
            Err(error) => Err(error),
        };
        let line = self.reader.line();
        taken.map(|()| true).map_err(|error| at_line(error, line))
    }
}

impl Gathering {
    fn take(&mut self, fields: &Fields<'_>) -> Result<(), SqlError> {
        if self.is_binary {
            self.copy.push_binary(&fields.values(), &mut self.rows)?;
        } else {
            self.copy.push(&fields.texts()?, &mut self.rows)?;
        }
        self.count += 1;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.rows.rows.len() >= PIECE_BYTES
    }
}

impl Session {
    /// Begins or does what a COPY asks for.
    pub(super) async fn copy(&mut self, io: &mut Io, copy: &Copy, is_simple: bool) -> Result<(), End> {
        self.transaction.check()?;
        self.database.refresh()?;
        if copy.is_in {
            return self.begin_copy_in(io, copy, is_simple);
        }
        let query = match &copy.subject {
            Subject::Query(query) => query.clone(),
            Subject::Relation(name, columns) => {
                let quoted = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
                let columns: Vec<String> = columns.iter().map(quoted).collect();
                let columns = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
                format!("SELECT {columns} FROM {}", quoted(name))
            }
        };
        let parsed: [Parsed; 1] =
            sql::parse(&query)?.try_into().map_err(|_| SqlError::new("42601", "COPY takes one query"))?;
        let [parsed] = parsed;
        let statement = Statement::bind(&self.database, Some(parsed), Vec::new())?;
        let done = self.execute(io, &statement, &[]).await?;
        let Some(rows) = done.rows else {
            return Err(SqlError::new("42601", "COPY takes a query that has a result").into());
        };
        let mut writer = write::Writer::new(copy.options.clone(), statement.columns());
        io.out.copy_out(copy.options.format == Format::Binary, statement.columns().len());
        writer.begin(&mut io.out);
        for row in rows.iter() {
            writer.row(row, &mut io.out)?;
            if io.out.bytes.len() >= super::stream::OUTPUT_BYTES_FULL {
                self.interrupt.check()?;
                io.flush().await?;
            }
        }
        writer.end(&mut io.out);
        io.out.copy_done();
        io.out.complete(&Tag::Copy(u64::from(rows.count)).to_string());
        Ok(())
    }

    fn begin_copy_in(&mut self, io: &mut Io, copy: &Copy, is_simple: bool) -> Result<(), End> {
        let Subject::Relation(name, columns) = &copy.subject else {
            unreachable!("a query is not copied in")
        };
        let copy_in = CopyIn::new(&self.database.catalog.borrow(), name, columns, now())?;
        let is_binary = copy.options.format == Format::Binary;
        io.out.copy_in(is_binary, copy_in.types().len());
        self.copying = Some(Box::new(Copying {
            reader: Reader::new(copy.options.clone(), copy_in.names()),
            rows: Gathering { copy: copy_in, is_binary, rows: Rows::new(), count: 0 },
            tickets: VecDeque::new(),
            is_simple,
        }));
        Ok(())
    }

    /// Takes a message while rows are copied in.
    pub(super) async fn copy_message(&mut self, io: &mut Io, message: Message<'_>) -> Result<(), End> {
        match message {
            Message::CopyData(data) => {
                let reader = &mut self.copying().reader;
                let line = reader.line() + 1;
                reader.push(data).map_err(|error| at_line(error, line))?;
                Ok(self.take_rows(false).await?)
            }
            Message::CopyDone => {
                self.take_rows(true).await?;
                self.write_piece(PIECES_MAX).await?;
                let copying = self.copying.take().expect("it is copying");
                for ticket in copying.tickets {
                    self.written(ticket).await?;
                }
                io.out.complete(&Tag::Copy(copying.rows.count).to_string());
                if copying.is_simple {
                    io.out.ready(self.transaction.status());
                }
                Ok(())
            }
            Message::CopyFail(why) => {
                Err(SqlError::new("57014", format!("COPY from stdin failed: {why}")).into())
            }
            // What drivers send while they copy, which PostgreSQL passes over too.
            Message::Flush | Message::Sync => Ok(()),
            Message::Terminate => Err(End::Closed),
            _ => Err(SqlError::new("08P01", "unexpected message type during COPY from stdin").into()),
        }
    }

    fn copying(&mut self) -> &mut Copying {
        self.copying.as_mut().expect("it is copying")
    }

    /// Takes the rows that have come. A short line may become a long row, so they are written while they are taken.
    async fn take_rows(&mut self, at_end: bool) -> Result<(), SqlError> {
        while self.copying().take_row(at_end)? {
            if self.copying().rows.is_full() {
                self.write_piece(PIECES_MAX).await?;
                self.interrupt.check()?;
            }
        }
        Ok(())
    }

    /// Writes what has been gathered, when less than `under_way_max` pieces are under way.
    async fn write_piece(&mut self, under_way_max: usize) -> Result<(), SqlError> {
        let Copying { rows, tickets, .. } = self.copying();
        let piece = std::mem::take(&mut rows.rows);
        let table = rows.copy.table;
        let ready = if tickets.len() >= under_way_max { tickets.pop_front() } else { None };
        if let Some(ticket) = ready {
            self.written(ticket).await?;
        }
        if piece.is_empty() {
            return Ok(());
        }
        if self.transaction.is_holding() {
            return self.write(table, WriteKind::Insert, piece).await;
        }
        let ticket = self.send_write(table, WriteKind::Insert, &piece).await?;
        self.copying().tickets.push_back(ticket);
        Ok(())
    }

    /// Ends what is being copied in after an error; whether it came by a simple query.
    pub(super) fn end_copy(&mut self) -> Option<bool> {
        self.copying.take().map(|copying| copying.is_simple)
    }
}

fn at_line(error: SqlError, line: u64) -> SqlError {
    let detail = error.detail.clone();
    match detail {
        Some(detail) => error.detail(format!("{detail} It is in row {line} of the data.")),
        None => error.detail(format!("It is in row {line} of the data.")),
    }
}
