//! Rows as they are copied out.

use operators::Row;
use sql::{ResultColumn, SqlError};

use super::super::encode::Output;
use super::super::rows::Encoder;
use super::options::{Format, Header, Options};

/// Writes rows as messages of data, one each.
pub struct Writer {
    options: Options,
    columns: Vec<ResultColumn>,
    encoder: Encoder,
    text: String,
    /// What binary data begins with, until it has been written. It shares a message with the first row, or with the end if
    /// there is none: clients count on one message a row.
    head: &'static [u8],
}

/// The signature, then no flags and nothing more in the head.
const BINARY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

impl Writer {
    /// For rows of these columns.
    pub fn new(options: Options, columns: &[ResultColumn]) -> Writer {
        let head = if options.format == Format::Binary { BINARY_HEAD } else { &[] };
        Writer { options, columns: columns.to_vec(), encoder: Encoder::default(), text: String::new(), head }
    }

    /// What comes before the rows.
    pub fn begin(&self, out: &mut Output) {
        if self.options.format == Format::Binary || self.options.header == Header::None {
            return;
        }
        out.message(b'd', |bytes| {
            for (at, column) in self.columns.iter().enumerate() {
                self.separate(at, bytes);
                self.escaped(&column.name, bytes);
            }
            bytes.push(b'\n');
        });
    }

    /// A row.
    pub fn row(&mut self, row: Row<'_>, out: &mut Output) -> Result<(), SqlError> {
        let before = out.bytes.len();
        let written = out.message(b'd', |bytes| self.fields(row, bytes));
        if written.is_err() {
            out.bytes.truncate(before);
        }
        written
    }

    fn fields(&mut self, row: Row<'_>, bytes: &mut Vec<u8>) -> Result<(), SqlError> {
        if self.options.format == Format::Binary {
            bytes.extend(std::mem::take(&mut self.head));
            bytes.extend((self.columns.len() as u16).to_be_bytes());
            for (at, column) in self.columns.iter().enumerate() {
                self.encoder.value(row.datum(at, column.ty.engine()), column.ty, true, bytes)?;
            }
            return Ok(());
        }
        let mut text = std::mem::take(&mut self.text);
        for (at, column) in self.columns.iter().enumerate() {
            self.separate(at, bytes);
            let value = row.datum(at, column.ty.engine());
            if value.is_null() {
                bytes.extend(self.options.null.bytes());
            } else {
                text.clear();
                sql::text::print(column.ty, value, &mut text);
                self.escaped(&text, bytes);
            }
        }
        self.text = text;
        bytes.push(b'\n');
        Ok(())
    }

    fn separate(&self, at: usize, bytes: &mut Vec<u8>) {
        if at > 0 {
            bytes.push(self.options.delimiter);
        }
    }

    fn escaped(&self, text: &str, bytes: &mut Vec<u8>) {
        let Options { delimiter, quote, escape, .. } = self.options;
        if self.options.format == Format::Csv {
            let special = |byte: u8| byte == delimiter || byte == quote || matches!(byte, b'\n' | b'\r');
            if text != self.options.null && text != "\\." && !text.bytes().any(special) {
                bytes.extend(text.bytes());
                return;
            }
            bytes.push(quote);
            for byte in text.bytes() {
                if byte == quote || byte == escape {
                    bytes.push(escape);
                }
                bytes.push(byte);
            }
            bytes.push(quote);
            return;
        }
        for byte in text.bytes() {
            let letter = match byte {
                8 => b'b',
                12 => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                11 => b'v',
                b'\\' => b'\\',
                byte if byte == delimiter => byte,
                byte => {
                    bytes.push(byte);
                    continue;
                }
            };
            bytes.extend([b'\\', letter]);
        }
    }

    /// What comes after the rows.
    pub fn end(&self, out: &mut Output) {
        if self.options.format == Format::Binary {
            out.message(b'd', |bytes| {
                bytes.extend(self.head);
                bytes.extend([0xff, 0xff]);
            });
        }
    }
}
