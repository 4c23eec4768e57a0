//! Rows as clients get them: each value as text or in binary form.

use operators::{Datum, Row, RowBuilder, Rows};
use sql::{ResultColumn, SqlError, SqlType};

use super::encode::Output;

/// The formats of a result's columns.
#[derive(Debug, Clone, Default)]
pub enum Formats {
    /// All as text.
    #[default]
    Text,
    /// All in binary form.
    Binary,
    /// One for each column; true is binary.
    Each(Vec<bool>),
}

impl Formats {
    /// From the formats of a Bind message.
    pub fn new(list: super::decode::List<'_, 2>, columns: usize) -> Result<Formats, SqlError> {
        let wrong = || SqlError::new("08P01", "a format is 0 for text or 1 for binary");
        let format = |code: u32| match code {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(wrong()),
        };
        match list.len() {
            0 => Ok(Formats::Text),
            1 => format(list.format(0)).map(|binary| if binary { Formats::Binary } else { Formats::Text }),
            count if count == columns => {
                Ok(Formats::Each(list.iter().map(format).collect::<Result<_, _>>()?))
            }
            count => Err(SqlError::new(
                "08P01",
                format!("bind message has {count} result formats but query has {columns} columns"),
            )),
        }
    }

    /// Whether column `at` is in binary form.
    #[inline]
    pub fn is_binary(&self, at: usize) -> bool {
        match self {
            Formats::Text => false,
            Formats::Binary => true,
            Formats::Each(each) => each[at],
        }
    }
}

/// Writes values; keeps memory for texts.
#[derive(Debug, Default)]
pub struct Encoder {
    text: String,
}

impl Encoder {
    /// Appends a row as a message; after an error nothing is appended.
    pub fn row(
        &mut self,
        row: Row<'_>,
        columns: &[ResultColumn],
        formats: &Formats,
        out: &mut Output,
    ) -> Result<(), SqlError> {
        let before = out.bytes.len();
        let written = out.message(b'D', |bytes| {
            bytes.extend((columns.len() as u16).to_be_bytes());
            for (at, column) in columns.iter().enumerate() {
                self.value(row.datum(at, column.ty.engine()), column.ty, formats.is_binary(at), bytes)?;
            }
            Ok(())
        });
        if written.is_err() {
            out.bytes.truncate(before);
        }
        written
    }

    /// Appends the length and the bytes of a value; the length -1 for NULL.
    #[inline]
    pub fn value(
        &mut self,
        value: Datum<'_>,
        ty: SqlType,
        binary: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), SqlError> {
        if value.is_null() {
            out.extend([0xff; 4]);
            return Ok(());
        }
        let start = out.len();
        out.extend([0; 4]);
        if binary {
            sql::binary::encode(value, ty, out)?;
        } else {
            self.text(value, ty, out);
        }
        let length = u32::try_from(out.len() - start - 4).expect("values are bounded");
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn text(&mut self, value: Datum<'_>, ty: SqlType, out: &mut Vec<u8>) {
        match (ty, value) {
            (SqlType::Text | SqlType::Varchar(_), Datum::Text(text)) => out.extend(text.as_bytes()),
            (_, value) => {
                self.text.clear();
                sql::text::print(ty, value, &mut self.text);
                out.extend(self.text.as_bytes());
            }
        }
    }
}

/// Rows of text columns, for what the server says of itself.
pub fn text_rows<'a, const COLUMNS: usize>(
    lines: impl IntoIterator<Item = [Option<&'a str>; COLUMNS]>,
) -> Rows {
    let (mut rows, mut builder) = (Rows::new(), RowBuilder::new());
    for line in lines {
        builder.start(COLUMNS);
        line.into_iter().for_each(|value| builder.push(value.map_or(Datum::Null, Datum::Text)));
        rows.push(builder.finish());
    }
    rows
}

/// A column of text.
pub fn text_column(name: &str) -> ResultColumn {
    ResultColumn { name: name.to_owned(), ty: SqlType::Text }
}
