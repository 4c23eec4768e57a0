//! Rows as they are copied in: cut out of a stream of bytes whose pieces end anywhere.

use sql::SqlError;

use super::super::decode::{not_text, utf8};
use super::options::{Format, Options};

/// Longest line or row.
const LINE_BYTES_MAX: usize = 16 << 20;
/// What binary data begins with.
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// A row's values as they were given.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    /// One value after another.
    bytes: &'a [u8],
    /// Where each ends, and whether it is NULL.
    ends: &'a [(usize, bool)],
}

impl<'a> Fields<'a> {
    /// The values; none for NULL.
    pub fn values(&self) -> Vec<Option<&'a [u8]>> {
        self.cut(|start, end| &self.bytes[start..end]).collect()
    }

    /// The values as text; none for NULL.
    pub fn texts(&self) -> Result<Vec<Option<&'a str>>, SqlError> {
        let text = utf8(self.bytes)?;
        // What is text in one piece may be none in its parts.
        let parts = self.cut(|start, end| text.get(start..end).ok_or_else(not_text));
        parts.map(Option::transpose).collect()
    }

    fn cut<T>(&self, part: impl Fn(usize, usize) -> T) -> impl Iterator<Item = Option<T>> {
        let mut start = 0;
        self.ends.iter().map(move |(end, is_null)| {
            let from = std::mem::replace(&mut start, *end);
            (!is_null).then(|| part(from, *end))
        })
    }
}

/// Cuts rows out of what has come.
#[derive(Debug)]
pub struct Reader {
    options: Options,
    bytes: Vec<u8>,
    /// Rows that have come, with a header.
    line: u64,
    is_begun: bool,
    is_ended: bool,
    /// A line's values without quotes and escapes, one after another.
    scratch: Vec<u8>,
    /// Where in `scratch` each value ends, and whether it is NULL.
    ends: Vec<(usize, bool)>,
}

fn bad(message: impl Into<String>) -> SqlError {
    SqlError::new("22P04", message)
}

impl Reader {
    /// For data of this form.
    pub fn new(options: Options) -> Reader {
        Reader {
            options,
            bytes: Vec::new(),
            line: 0,
            is_begun: false,
            is_ended: false,
            scratch: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Rows that have come so far.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Takes a piece, and gives each row that is whole to `take`.
    pub fn push(
        &mut self,
        piece: &[u8],
        take: &mut impl FnMut(&Fields<'_>) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        if self.bytes.len() + piece.len() > 2 * LINE_BYTES_MAX {
            return Err(SqlError::new("54000", "a row is too long"));
        }
        self.bytes.extend_from_slice(piece);
        self.rows(false, take)
    }

    /// Takes the end of the data: the last line need not end.
    pub fn finish(
        &mut self,
        take: &mut impl FnMut(&Fields<'_>) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        self.rows(true, take)?;
        if !self.bytes.is_empty() && !self.is_ended {
            return Err(bad("unexpected end of the data"));
        }
        Ok(())
    }

    fn rows(
        &mut self,
        at_end: bool,
        take: &mut impl FnMut(&Fields<'_>) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = bytes.as_slice();
        let done = loop {
            if self.is_ended {
                rest = &[];
                break Ok(());
            }
            let used = match self.options.format {
                Format::Binary => self.tuple(rest, take),
                Format::Text | Format::Csv => self.text_line(rest, at_end, take),
            };
            match used {
                Ok(Some(used)) => rest = &rest[used..],
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let used = bytes.len() - rest.len();
        self.bytes = bytes;
        self.bytes.drain(..used);
        done
    }

    /// The next line; how many bytes it takes, none if it is not whole.
    fn text_line(
        &mut self,
        rest: &[u8],
        at_end: bool,
        take: &mut impl FnMut(&Fields<'_>) -> Result<(), SqlError>,
    ) -> Result<Option<usize>, SqlError> {
        let end = match self.options.format {
            Format::Csv => csv_end(rest, &self.options),
            _ => text_end(rest),
        };
        let (line, used) = match end {
            Some(end) => (&rest[..end], end + 1),
            None if at_end && !rest.is_empty() => (rest, rest.len()),
            None => return Ok(None),
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line == b"\\." {
            self.is_ended = true;
            return Ok(Some(used));
        }
        self.line += 1;
        if std::mem::replace(&mut self.is_begun, true) || !self.options.header {
            self.scratch.clear();
            self.ends.clear();
            match self.options.format {
                Format::Csv => self.split_csv(line)?,
                _ => self.split_text(line),
            }
            take(&Fields { bytes: &self.scratch, ends: &self.ends })?;
        }
        Ok(Some(used))
    }

    fn split_text(&mut self, line: &[u8]) {
        let delimiter = self.options.delimiter;
        let mut at = 0;
        loop {
            let start = at;
            let before = self.scratch.len();
            loop {
                let special = line[at..].iter().position(|byte| *byte == delimiter || *byte == b'\\');
                let end = special.map_or(line.len(), |special| at + special);
                self.scratch.extend_from_slice(&line[at..end]);
                at = end;
                if at >= line.len() || line[at] == delimiter {
                    break;
                }
                if at + 1 == line.len() {
                    self.scratch.push(b'\\');
                    at += 1;
                } else {
                    at += 1 + unescape(&line[at + 1..], &mut self.scratch);
                }
            }
            let is_null = &line[start..at] == self.options.null.as_bytes();
            if is_null {
                self.scratch.truncate(before);
            }
            self.ends.push((self.scratch.len(), is_null));
            if at >= line.len() {
                return;
            }
            at += 1;
        }
    }

    fn split_csv(&mut self, line: &[u8]) -> Result<(), SqlError> {
        let Options { delimiter, quote, escape, .. } = self.options;
        let mut at = 0;
        loop {
            let before = self.scratch.len();
            let mut was_quoted = false;
            let mut in_quotes = false;
            while at < line.len() && (in_quotes || line[at] != delimiter) {
                let byte = line[at];
                let next = line.get(at + 1).copied();
                at += 1;
                if in_quotes && byte == escape && next.is_some_and(|next| next == quote || next == escape) {
                    self.scratch.extend(next);
                    at += 1;
                } else if byte == quote {
                    in_quotes = !in_quotes;
                    was_quoted = true;
                } else {
                    self.scratch.push(byte);
                }
            }
            if in_quotes {
                return Err(bad("unterminated CSV quoted field"));
            }
            let is_null = !was_quoted && self.scratch[before..] == *self.options.null.as_bytes();
            if is_null {
                self.scratch.truncate(before);
            }
            self.ends.push((self.scratch.len(), is_null));
            if at >= line.len() {
                return Ok(());
            }
            at += 1;
        }
    }

    /// The next row of binary data; how many bytes it takes, none if it is not whole.
    fn tuple(
        &mut self,
        rest: &[u8],
        take: &mut impl FnMut(&Fields<'_>) -> Result<(), SqlError>,
    ) -> Result<Option<usize>, SqlError> {
        if !self.is_begun {
            return self.binary_head(rest);
        }
        let Some((count, mut after)) = rest.split_first_chunk::<2>() else { return Ok(None) };
        let count = i16::from_be_bytes(*count);
        if count == -1 {
            self.is_ended = true;
            return Ok(Some(2));
        }
        if count < 0 {
            return Err(bad("row field count is negative"));
        }
        self.scratch.clear();
        self.ends.clear();
        for _ in 0..count {
            let Some((length, behind)) = after.split_first_chunk::<4>() else { return Ok(None) };
            after = behind;
            let length = i32::from_be_bytes(*length);
            if length == -1 {
                self.ends.push((self.scratch.len(), true));
                continue;
            }
            let length = usize::try_from(length).map_err(|_| bad("invalid field size"))?;
            if length > LINE_BYTES_MAX {
                return Err(bad("invalid field size"));
            }
            let Some((value, behind)) = after.split_at_checked(length) else { return Ok(None) };
            after = behind;
            self.scratch.extend_from_slice(value);
            self.ends.push((self.scratch.len(), false));
        }
        self.line += 1;
        take(&Fields { bytes: &self.scratch, ends: &self.ends })?;
        Ok(Some(rest.len() - after.len()))
    }

    fn binary_head(&mut self, rest: &[u8]) -> Result<Option<usize>, SqlError> {
        let Some((head, after)) = rest.split_first_chunk::<19>() else { return Ok(None) };
        let (signature, numbers) = head.split_at(SIGNATURE.len());
        if signature != SIGNATURE {
            return Err(bad("COPY file signature not recognized"));
        }
        let number = |at: usize| u32::from_be_bytes(numbers[at..at + 4].try_into().expect("four bytes"));
        if number(0) >> 16 != 0 {
            return Err(bad("unrecognized critical flags in COPY file header"));
        }
        let extension = number(4) as usize;
        if extension > LINE_BYTES_MAX {
            return Err(bad("invalid COPY file header (wrong length)"));
        }
        if after.len() < extension {
            return Ok(None);
        }
        self.is_begun = true;
        Ok(Some(head.len() + extension))
    }
}

/// Where the line at the front ends. A line break after a backslash is part of a value.
fn text_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let end = from + bytes[from..].iter().position(|byte| *byte == b'\n')?;
        let backslashes = bytes[..end].iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes % 2 == 0 {
            return Some(end);
        }
        from = end + 1;
    }
}

/// Where the line at the front ends. A line break within quotes is part of a value.
fn csv_end(bytes: &[u8], options: &Options) -> Option<usize> {
    let mut in_quotes = false;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if in_quotes && byte == options.escape && options.escape != options.quote {
            at += 1;
        } else if byte == options.quote {
            in_quotes = !in_quotes;
        } else if byte == b'\n' && !in_quotes {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// Appends what the letters after a backslash stand for; how many they are.
fn unescape(after: &[u8], out: &mut Vec<u8>) -> usize {
    let octal = |byte: &u8| (b'0'..=b'7').contains(byte);
    match after[0] {
        b'b' => out.push(8),
        b'f' => out.push(12),
        b'n' => out.push(b'\n'),
        b'r' => out.push(b'\r'),
        b't' => out.push(b'\t'),
        b'v' => out.push(11),
        b'0'..=b'7' => {
            let digits = after.iter().take(3).take_while(|byte| octal(byte)).count();
            let value = after[..digits].iter().fold(0u32, |value, digit| value * 8 + u32::from(digit - b'0'));
            out.push((value & 0xff) as u8);
            return digits;
        }
        b'x' if after.get(1).is_some_and(u8::is_ascii_hexdigit) => {
            let digits = after[1..].iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
            let value = after[1..=digits]
                .iter()
                .fold(0u32, |value, digit| value * 16 + char::from(*digit).to_digit(16).unwrap_or(0));
            out.push((value & 0xff) as u8);
            return 1 + digits;
        }
        other => out.push(other),
    }
    1
}

#[cfg(test)]
mod tests {
    use super::super::options::parse;
    use super::*;

    fn read(statement: &str, data: &[u8], step: usize) -> Result<Vec<Vec<Option<String>>>, SqlError> {
        let options = parse(statement).expect("valid").expect("a copy").options;
        let mut reader = Reader::new(options);
        let mut rows = Vec::new();
        let mut take = |fields: &Fields<'_>| {
            let text = |field: Option<&[u8]>| field.map(|value| String::from_utf8_lossy(value).into_owned());
            rows.push(fields.values().into_iter().map(text).collect());
            Ok(())
        };
        for piece in data.chunks(step) {
            reader.push(piece, &mut take)?;
        }
        reader.finish(&mut take)?;
        Ok(rows)
    }

    fn check(statement: &str, data: &[u8], expected: &[&[Option<&str>]]) {
        for step in [1, 2, 3, 7, 1000] {
            let rows = read(statement, data, step).expect(statement);
            let rows: Vec<Vec<Option<&str>>> =
                rows.iter().map(|row| row.iter().map(Option::as_deref).collect()).collect();
            assert_eq!(rows, expected, "{statement} in steps of {step}");
        }
    }

    #[test]
    fn lines_come_in_pieces() {
        check(
            "COPY t FROM STDIN",
            b"1\ta\\tb\n2\t\\N\r\n3\tx\\\ny\\101\\x42\n4\t\n\\.\nrest",
            &[
                &[Some("1"), Some("a\tb")],
                &[Some("2"), None],
                &[Some("3"), Some("x\nyAB")],
                &[Some("4"), Some("")],
            ],
        );
        check(
            "COPY t FROM STDIN (FORMAT csv, HEADER)",
            b"id,name\r\n1,\"a \"\"b\"\",\nc\"\r\n2,\r\n3,\"\"",
            &[&[Some("1"), Some("a \"b\",\nc")], &[Some("2"), None], &[Some("3"), Some("")]],
        );
    }

    #[test]
    fn what_is_text_only_together_is_refused() {
        let fields = |ends| Fields { bytes: "aé".as_bytes(), ends };
        assert_eq!(
            fields(&[(1, false), (1, true), (3, false)]).texts().expect("is text"),
            [Some("a"), None, Some("é")]
        );
        assert_eq!(fields(&[(2, false), (3, false)]).texts().expect_err("half a letter").sqlstate, "22021");
    }

    #[test]
    fn binary_rows_come_in_pieces() {
        let mut data = SIGNATURE.to_vec();
        data.extend([0; 8]);
        data.extend([0, 2, 0, 0, 0, 1, b'x', 0xff, 0xff, 0xff, 0xff]);
        data.extend([0xff, 0xff]);
        check("COPY t FROM STDIN BINARY", &data, &[&[Some("x"), None]]);
        assert_eq!(
            read("COPY t FROM STDIN BINARY", b"0123456789012345678", 5).expect_err("no signature").sqlstate,
            "22P04"
        );
    }
}
