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
            reader: Reader::new(copy.options.clone()),
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
                let Copying { reader, rows, .. } = &mut **self.copying.as_mut().expect("it is copying");
                let taken = reader.push(data, &mut |fields| rows.take(fields));
                let line = reader.line();
                taken.map_err(|error| at_line(error, line))?;
                if rows.rows.rows.len() >= PIECE_BYTES {
                    self.write_piece(PIECES_MAX).await?;
                }
                Ok(())
            }
            Message::CopyDone => {
                let Copying { reader, rows, is_simple, .. } =
                    &mut **self.copying.as_mut().expect("it is copying");
                let is_simple = *is_simple;
                let finished = reader.finish(&mut |fields| rows.take(fields));
                let line = reader.line();
                finished.map_err(|error| at_line(error, line))?;
                self.write_piece(1).await?;
                let copying = self.copying.take().expect("it is copying");
                for ticket in copying.tickets {
                    self.written(ticket).await?;
                }
                io.out.complete(&Tag::Copy(copying.rows.count).to_string());
                if is_simple {
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

    /// Writes what has been gathered, when less than `under_way_max` pieces are under way.
    async fn write_piece(&mut self, under_way_max: usize) -> Result<(), SqlError> {
        let Copying { rows, tickets, .. } = &mut **self.copying.as_mut().expect("it is copying");
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
        self.copying.as_mut().expect("it is copying").tickets.push_back(ticket);
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
