//! Rows as they are copied in: cut out of a stream of bytes whose pieces end anywhere.

use sql::SqlError;

use super::super::decode::{not_text, utf8};
use super::options::{Format, Header, Options};

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
    /// What the columns are called that are given.
    names: Vec<String>,
    bytes: Vec<u8>,
    /// Where in `bytes` the next row begins.
    at: usize,
    /// Up to where no end of that row has been found, from `at` on. So a row that comes in many pieces is searched once.
    searched: usize,
    /// Whether that is within quotes.
    in_quotes: bool,
    /// Rows that have come, with a header.
    line: u64,
    is_begun: bool,
    is_ended: bool,
    /// A row's values without quotes and escapes, one after another.
    scratch: Vec<u8>,
    /// Where in `scratch` each value ends, and whether it is NULL.
    ends: Vec<(usize, bool)>,
}

/// What is at the front of the bytes.
enum Part {
    /// A row, which is cut up.
    Row,
    /// A header or an end, which has been passed over.
    Frame,
    /// Nothing that is whole.
    Open,
}

fn bad(message: impl Into<String>) -> SqlError {
    SqlError::new("22P04", message)
}

impl Reader {
    /// For data of this form, with columns of these names.
    pub fn new(options: Options, names: Vec<String>) -> Reader {
        Reader {
            options,
            names,
            bytes: Vec::new(),
            at: 0,
            searched: 0,
            in_quotes: false,
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

    /// Takes a piece. Its rows are to be taken by [`Reader::next`] before the piece after it comes.
    ///
    /// # Errors
    ///
    /// A row is too long.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), SqlError> {
        self.bytes.drain(..self.at);
        self.at = 0;
        if self.bytes.len() + piece.len() > 2 * LINE_BYTES_MAX {
            return Err(SqlError::new("54000", "a row is too long"));
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// The next row, if it is whole. At the end of the data the last line need not end.
    ///
    /// # Errors
    ///
    /// The data are not of the form that they should have.
    pub fn next(&mut self, at_end: bool) -> Result<Option<Fields<'_>>, SqlError> {
        let is_binary = self.options.format == Format::Binary;
        while !self.is_ended {
            match if is_binary { self.tuple()? } else { self.text_line(at_end)? } {
                Part::Row => return Ok(Some(Fields { bytes: &self.scratch, ends: &self.ends })),
                Part::Frame => {}
                Part::Open if !at_end => return Ok(None),
                Part::Open if is_binary && !self.is_begun => return Err(no_signature()),
                Part::Open if self.at < self.bytes.len() => return Err(bad("unexpected EOF in COPY data")),
                Part::Open => return Ok(None),
            }
        }
        if is_binary && self.at < self.bytes.len() {
            return Err(bad("received copy data after EOF marker"));
        }
        // What follows the end of lines is passed over.
        self.at = self.bytes.len();
        Ok(None)
    }

    /// Passes over so many bytes: a row, a header or an end.
    fn pass(&mut self, count: usize) {
        self.at += count;
        assert!(self.at <= self.bytes.len(), "only what has come is passed over");
        self.searched = 0;
        self.in_quotes = false;
    }

    fn text_line(&mut self, at_end: bool) -> Result<Part, SqlError> {
        let is_csv = self.options.format == Format::Csv;
        let found = if is_csv { self.csv_end() } else { self.text_end() };
        let (start, rest) = (self.at, self.bytes.len() - self.at);
        let (length, used) = match found {
            Some(length) => (length, length + 1),
            None if at_end && rest > 0 => (rest, rest),
            None => return Ok(Part::Open),
        };
        self.pass(used);
        let bytes = std::mem::take(&mut self.bytes);
        let line = &bytes[start..start + length];
        let part = self.cut_line(line.strip_suffix(b"\r").unwrap_or(line));
        self.bytes = bytes;
        part
    }

    fn cut_line(&mut self, line: &[u8]) -> Result<Part, SqlError> {
        if line == b"\\." {
            self.is_ended = true;
            return Ok(Part::Frame);
        }
        self.line += 1;
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        if is_first && self.options.header == Header::Passed {
            return Ok(Part::Frame);
        }
        self.scratch.clear();
        self.ends.clear();
        match self.options.format {
            Format::Csv => self.split_csv(line)?,
            _ => self.split_text(line),
        }
        if is_first && self.options.header == Header::Matched {
            let header = Fields { bytes: &self.scratch, ends: &self.ends };
            return check_header(&self.names, &header.texts()?).map(|()| Part::Frame);
        }
        Ok(Part::Row)
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

    fn tuple(&mut self) -> Result<Part, SqlError> {
        if !self.is_begun {
            return self.binary_head();
        }
        let rest = &self.bytes[self.at..];
        let Some((count, mut after)) = rest.split_first_chunk::<2>() else { return Ok(Part::Open) };
        let count = i16::from_be_bytes(*count);
        if count == -1 {
            self.is_ended = true;
            self.pass(2);
            return Ok(Part::Frame);
        }
        if usize::try_from(count) != Ok(self.names.len()) {
            let expected = self.names.len();
            return Err(bad(format!("row field count is {count}, expected {expected}")));
        }
        if rest.len() < self.searched {
            return Ok(Part::Open);
        }
        self.scratch.clear();
        self.ends.clear();
        for _ in 0..count {
            let Some((length, behind)) = after.split_first_chunk::<4>() else { return Ok(Part::Open) };
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
            let Some((value, behind)) = after.split_at_checked(length) else {
                self.searched = rest.len() - after.len() + length;
                return Ok(Part::Open);
            };
            after = behind;
            self.scratch.extend_from_slice(value);
            self.ends.push((self.scratch.len(), false));
        }
        self.line += 1;
        self.pass(rest.len() - after.len());
        Ok(Part::Row)
    }

    fn binary_head(&mut self) -> Result<Part, SqlError> {
        let rest = &self.bytes[self.at..];
        let Some((head, after)) = rest.split_first_chunk::<19>() else { return Ok(Part::Open) };
        let (signature, numbers) = head.split_at(SIGNATURE.len());
        if signature != SIGNATURE {
            return Err(no_signature());
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
            return Ok(Part::Open);
        }
        self.is_begun = true;
        self.pass(head.len() + extension);
        Ok(Part::Frame)
    }

    /// How long the line at the front is. A line break after a backslash is part of a value.
    fn text_end(&mut self) -> Option<usize> {
        let rest = &self.bytes[self.at..];
        loop {
            let Some(length) = rest[self.searched..].iter().position(|byte| *byte == b'\n') else {
                self.searched = rest.len();
                return None;
            };
            let end = self.searched + length;
            let backslashes = rest[..end].iter().rev().take_while(|byte| **byte == b'\\').count();
            if backslashes % 2 == 0 {
                return Some(end);
            }
            self.searched = end + 1;
        }
    }

    /// How long the line at the front is. A line break within quotes is part of a value.
    fn csv_end(&mut self) -> Option<usize> {
        let Options { quote, escape, .. } = self.options;
        let rest = &self.bytes[self.at..];
        while let Some(byte) = rest.get(self.searched) {
            if self.in_quotes && *byte == escape && escape != quote {
                // What follows an escape may not have come yet; it will be passed over when it has.
                self.searched += 1;
            } else if *byte == quote {
                self.in_quotes = !self.in_quotes;
            } else if *byte == b'\n' && !self.in_quotes {
                return Some(self.searched);
            }
            self.searched += 1;
        }
        None
    }
}

fn no_signature() -> SqlError {
    bad("COPY file signature not recognized")
}

/// A header that must name the columns.
fn check_header(names: &[String], given: &[Option<&str>]) -> Result<(), SqlError> {
    if given.len() != names.len() {
        let (got, expected) = (given.len(), names.len());
        return Err(bad(format!("wrong number of fields in header line: got {got}, expected {expected}")));
    }
    for (at, (name, given)) in names.iter().zip(given).enumerate() {
        if *given != Some(name) {
            let got = given.map_or_else(|| "NULL".to_owned(), |given| format!("{given:?}"));
            let field = at + 1;
            return Err(bad(format!(
                "column name mismatch in header line field {field}: got {got}, expected {name:?}"
            )));
        }
    }
    Ok(())
}

/// Appends what the letters after a backslash stand for; how many they are.
pub(super) fn unescape(after: &[u8], out: &mut Vec<u8>) -> usize {
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

    fn reader(statement: &str) -> Reader {
        let options = parse(statement).expect("valid").expect("a copy").options;
        Reader::new(options, vec!["id".to_owned(), "name".to_owned()])
    }

    fn read(statement: &str, data: &[u8], step: usize) -> Result<Vec<Vec<Option<String>>>, SqlError> {
        let mut reader = reader(statement);
        let mut rows = Vec::new();
        let mut take = |reader: &mut Reader, at_end| -> Result<(), SqlError> {
            while let Some(fields) = reader.next(at_end)? {
                let text =
                    |field: Option<&[u8]>| field.map(|value| String::from_utf8_lossy(value).into_owned());
                rows.push(fields.values().into_iter().map(text).collect());
            }
            Ok(())
        };
        for piece in data.chunks(step) {
            reader.push(piece)?;
            take(&mut reader, false)?;
        }
        take(&mut reader, true)?;
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

    fn refused(statement: &str, data: &[u8]) -> String {
        let errors = [1, 3, 1000].map(|step| read(statement, data, step).expect_err(statement));
        for error in &errors {
            assert_eq!((error.sqlstate, &error.message), ("22P04", &errors[0].message), "{statement}");
        }
        errors[0].message.clone()
    }

    #[test]
    fn escapes_and_other_signs_in_lines() {
        check(
            "COPY t FROM STDIN",
            b"\\b\\f\\n\\r\\t\\v\t\\0601\\x4g\\xg\\q\n\\\\N\ta\\\\\nb\\\tc\td\n\\\\\\\ne\\",
            &[
                &[Some("\u{8}\u{c}\n\r\t\u{b}"), Some("01\u{4}gxgq")],
                &[Some("\\N"), Some("a\\")],
                &[Some("b\tc"), Some("d")],
                &[Some("\\\ne\\")],
            ],
        );
        check(
            "COPY t FROM STDIN (DELIMITER '|', NULL '')",
            b"1|\n\\||a\\|b\n\n\\N|\\\\N\n",
            &[&[Some("1"), None], &[Some("|"), Some("a|b")], &[None], &[Some("N"), Some("\\N")]],
        );
        check("COPY t FROM STDIN", b"1\t2\n\\.\n", &[&[Some("1"), Some("2")]]);
        check("COPY t FROM STDIN", b"1\t2\n\\.", &[&[Some("1"), Some("2")]]);
        check("COPY t FROM STDIN", b"", &[]);
    }

    #[test]
    fn quotes_over_line_ends() {
        check(
            "COPY t FROM STDIN CSV",
            b"\"a\n\r\n\\.\nb\",c\n\"\"\"\",\"\"\nx\"y,z\"w,\\N\n,\n",
            &[
                &[Some("a\n\r\n\\.\nb"), Some("c")],
                &[Some("\""), Some("")],
                &[Some("xy,zw"), Some("\\N")],
                &[None, None],
            ],
        );
        check(
            "COPY t FROM STDIN (FORMAT csv, QUOTE '''', ESCAPE '\\', NULL 'none')",
            b"'it\\'s\\\\\n\\a','none'\nnone,\\n\n",
            &[&[Some("it's\\\n\\a"), Some("none")], &[None, Some("\\n")]],
        );
        assert_eq!(refused("COPY t FROM STDIN CSV", b"1,\"a\n2,b\n"), "unterminated CSV quoted field");
    }

    #[test]
    fn a_header_is_passed_over_or_must_match() {
        let statement = "COPY t FROM STDIN (FORMAT csv, HEADER match)";
        check(statement, b"id,\"name\"\n1,a\n", &[&[Some("1"), Some("a")]]);
        check("COPY t FROM STDIN (HEADER)", b"x\ty\tz\n1\ta\n", &[&[Some("1"), Some("a")]]);
        assert_eq!(
            refused(statement, b"id,Name\n1,a\n"),
            "column name mismatch in header line field 2: got \"Name\", expected \"name\""
        );
        assert_eq!(
            refused(statement, b"id,\n1,a\n"),
            "column name mismatch in header line field 2: got NULL, expected \"name\""
        );
        assert_eq!(
            refused(statement, b"id\n1,a\n"),
            "wrong number of fields in header line: got 1, expected 2"
        );
    }

    /// A row in very many pieces must not be searched from its beginning for each.
    #[test]
    fn a_long_row_comes_in_small_pieces() {
        let long = "x".repeat(1 << 20);
        let mut binary = SIGNATURE.to_vec();
        binary.extend([0; 8]);
        binary.extend([0, 2, 0, 16, 0, 0]);
        binary.extend(long.bytes());
        binary.extend([0xff; 4]);
        for (statement, data) in [
            ("COPY t FROM STDIN", format!("{long}\t\\N\n").into_bytes()),
            ("COPY t FROM STDIN CSV", format!("\"{long}\",\n").into_bytes()),
            ("COPY t FROM STDIN BINARY", binary),
        ] {
            let rows = read(statement, &data, 1).expect("whole");
            assert!(rows == [[Some(long.clone()), None]], "{statement}");
        }
        let mut reader = reader("COPY t FROM STDIN");
        let full = (0..64).find_map(|_| reader.push(long.as_bytes()).err());
        assert_eq!(full.expect("too long").sqlstate, "54000");
    }

    #[test]
    fn binary_rows_come_in_pieces() {
        let mut data = SIGNATURE.to_vec();
        data.extend([0; 4]);
        // A head with three bytes more.
        data.extend([0, 0, 0, 3, 1, 2, 3]);
        let head = data.len();
        data.extend([0, 2, 0, 0, 0, 1, b'x', 0xff, 0xff, 0xff, 0xff]);
        let statement = "COPY t FROM STDIN BINARY";
        let rows: &[&[Option<&str>]] = &[&[Some("x"), None]];
        check(statement, &data, rows);
        check(statement, &[&data, &[0xff; 2][..]].concat(), rows);
        for length in (0..data.len()).filter(|length| *length != head) {
            let expected = if length < head {
                "COPY file signature not recognized"
            } else {
                "unexpected EOF in COPY data"
            };
            assert_eq!(refused(statement, &data[..length]), expected, "{length} bytes");
        }
        let with = |tail: &[u8]| refused(statement, &[&data[..head], tail].concat());
        assert_eq!(with(&[0xff, 0xff, 0]), "received copy data after EOF marker");
        assert_eq!(with(&[0, 3]), "row field count is 3, expected 2");
        assert_eq!(with(&[0x80, 0]), "row field count is -32768, expected 2");
        assert_eq!(with(&[0, 2, 0xff, 0xff, 0xff, 0xfe]), "invalid field size");
        assert_eq!(with(&[0, 2, 0x7f, 0xff, 0xff, 0xff]), "invalid field size");
        assert_eq!(refused(statement, b"0123456789012345678"), "COPY file signature not recognized");
        data[11] = 1;
        assert_eq!(refused(statement, &data), "unrecognized critical flags in COPY file header");
    }
}
