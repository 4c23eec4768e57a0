//! The statement COPY, which the grammar of the other statements does not take apart as PostgreSQL does.

use sql::SqlError;

/// What is copied, where to, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// What is copied.
    pub subject: Subject,
    /// From the client or to it.
    pub is_in: bool,
    /// How it is written.
    pub options: Options,
}

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A table or view, and its columns; all if none are named.
    Relation(String, Vec<String>),
    /// The result of a query.
    Query(String),
}

/// The forms that rows can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines with escapes.
    Text,
    /// Lines with quotes.
    Csv,
    /// As in binary results.
    Binary,
}

/// A line before the first row that names the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// There is none.
    None,
    /// It is written, and passed over when it is read.
    Passed,
    /// It must name the columns that are given.
    Matched,
}

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The form.
    pub format: Format,
    /// Between two values.
    pub delimiter: u8,
    /// What stands for NULL.
    pub null: String,
    /// The line that names the columns.
    pub header: Header,
    /// Around values of CSV.
    pub quote: u8,
    /// Before a quote within quotes.
    pub escape: u8,
}

impl Options {
    fn new(format: Format) -> Options {
        let (delimiter, null) = if format == Format::Csv { (b',', "") } else { (b'\t', "\\N") };
        Options { format, delimiter, null: null.to_owned(), header: Header::None, quote: b'"', escape: b'"' }
    }
}

/// A piece of the statement's text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A name or keyword, in small letters unless it was quoted.
    Word(String),
    /// A text in quotes.
    Text(String),
    /// Anything else.
    Sign(char),
    /// What stands between parentheses that a query begins after.
    Query(String),
}

fn syntax(what: impl std::fmt::Display) -> SqlError {
    SqlError::new("42601", format!("syntax error in COPY: {what}"))
}

/// Takes a COPY apart; none if the text is another statement.
///
/// # Errors
///
/// It begins with COPY and goes on in a way that is not understood.
pub fn parse(sql: &str) -> Result<Option<Copy>, SqlError> {
    let text = crate::wire::tag::without_comments(sql);
    let is_copy = text.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("copy"))
        && text[4..].starts_with(|next: char| next.is_whitespace() || matches!(next, '(' | '"'));
    if !is_copy {
        return Ok(None);
    }
    let mut parser = Parser { tokens: tokens(&text[4..])?.into_iter().peekable() };
    let subject = parser.subject()?;
    let is_in = match parser.word()?.as_str() {
        "from" => true,
        "to" => false,
        other => return Err(syntax(format_args!("FROM or TO is needed where {other:?} is"))),
    };
    match (is_in, parser.word()?.as_str()) {
        (true, "stdin") | (false, "stdout") => {}
        _ => {
            return Err(SqlError::unsupported("COPY from or to anything but STDIN and STDOUT")
                .hint("Use \\copy of psql, which reads and writes files of the client."));
        }
    }
    let options = parser.options()?;
    if is_in && matches!(subject, Subject::Query(_)) {
        return Err(syntax("a query can only be copied out"));
    }
    if !is_in && options.header == Header::Matched {
        return Err(SqlError::new("0A000", "cannot use \"match\" with HEADER in COPY TO"));
    }
    Ok(Some(Copy { subject, is_in, options }))
}

fn tokens(text: &str) -> Result<Vec<Token>, SqlError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '(' if tokens.is_empty() => {
                let end = closing(rest).ok_or_else(|| syntax("a parenthesis is not closed"))?;
                (Token::Query(rest[1..end].to_owned()), end + 1)
            }
            '\'' => quoted(rest, '\'').map(|(text, length)| (Token::Text(text), length))?,
            'e' | 'E' if rest[1..].starts_with('\'') => {
                let (text, length) = with_escapes(&rest[1..])?;
                (Token::Text(text), length + 1)
            }
            '"' => quoted(rest, '"').map(|(name, length)| (Token::Word(name), length))?,
            c if c.is_alphanumeric() || c == '_' => {
                let is_end = |c: char| !(c.is_alphanumeric() || c == '_' || c == '$');
                let end = rest.find(is_end).unwrap_or(rest.len());
                (Token::Word(rest[..end].to_lowercase()), end)
            }
            c => (Token::Sign(c), c.len_utf8()),
        };
        tokens.push(token);
        rest = crate::wire::tag::without_comments(&rest[length..]);
    }
    Ok(tokens)
}

/// The text in quotes at the front, where two stand for one, and how long it is with them.
fn quoted(text: &str, quote: char) -> Result<(String, usize), SqlError> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character != quote {
            value.push(character);
        } else if characters.peek().is_some_and(|(_, next)| *next == quote) {
            value.push(quote);
            characters.next();
        } else {
            return Ok((value, at + 1));
        }
    }
    Err(syntax("a quote is not closed"))
}

/// The same with what stands behind backslashes.
fn with_escapes(text: &str) -> Result<(String, usize), SqlError> {
    let bytes = text.as_bytes();
    let mut value = Vec::new();
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\\' if at < bytes.len() => at += super::read::unescape(&bytes[at..], &mut value),
            b'\'' if bytes.get(at) == Some(&b'\'') => {
                value.push(b'\'');
                at += 1;
            }
            b'\'' => return Ok((super::super::decode::utf8(&value)?.to_owned(), at)),
            byte => value.push(*byte),
        }
    }
    Err(syntax("a quote is not closed"))
}

/// Where the parenthesis at the front is closed, with those in quotes passed over.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut in_quote = None;
    for (at, character) in text.char_indices() {
        match (in_quote, character) {
            (Some(quote), c) if c == quote => in_quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => in_quote = Some(character),
            (None, '(') => depth += 1,
            (None, ')') if depth == 1 => return Some(at),
            (None, ')') => depth -= 1,
            _ => {}
        }
    }
    None
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Parser {
    fn word(&mut self) -> Result<String, SqlError> {
        match self.tokens.next() {
            Some(Token::Word(word)) => Ok(word),
            other => Err(syntax(format_args!("a word is needed where {} is", shown(other.as_ref())))),
        }
    }

    fn takes(&mut self, sign: char) -> bool {
        self.tokens.next_if_eq(&Token::Sign(sign)).is_some()
    }

    fn subject(&mut self) -> Result<Subject, SqlError> {
        if let Some(Token::Query(query)) = self.tokens.next_if(|token| matches!(token, Token::Query(_))) {
            return Ok(Subject::Query(query));
        }
        let mut name = self.word()?;
        while self.takes('.') {
            if name != "public" {
                return Err(SqlError::new("3F000", format!("schema {name:?} does not exist")));
            }
            name = self.word()?;
        }
        let mut columns = Vec::new();
        if self.takes('(') {
            loop {
                columns.push(self.word()?);
                if self.takes(')') {
                    break;
                }
                if !self.takes(',') {
                    return Err(syntax("a comma is missing between columns"));
                }
            }
        }
        Ok(Subject::Relation(name, columns))
    }

    /// `WITH (FORMAT csv, HEADER true)`, and the old way without parentheses.
    fn options(&mut self) -> Result<Options, SqlError> {
        let mut given: Vec<(String, Option<String>)> = Vec::new();
        self.tokens.next_if_eq(&Token::Word("with".to_owned()));
        let in_parentheses = self.takes('(');
        loop {
            match self.tokens.next() {
                None if !in_parentheses => break,
                Some(Token::Sign(')')) if in_parentheses => break,
                Some(Token::Sign(';')) if !in_parentheses => break,
                Some(Token::Word(name)) => {
                    self.tokens.next_if_eq(&Token::Word("as".to_owned()));
                    let is_value = |token: &Token| {
                        matches!(token, Token::Text(_)) || in_parentheses && matches!(token, Token::Word(_))
                    };
                    let value = match self.tokens.next_if(is_value) {
                        Some(Token::Text(value) | Token::Word(value)) => Some(value),
                        _ => None,
                    };
                    given.push((name, value));
                }
                Some(Token::Sign(',')) if in_parentheses && !given.is_empty() => {}
                other => return Err(syntax(format_args!("unexpected {}", shown(other.as_ref())))),
            }
        }
        self.takes(';');
        match self.tokens.next() {
            None => read_options(&given),
            Some(_) => {
                Err(SqlError::unsupported("COPY together with other statements").hint("Send it by itself."))
            }
        }
    }
}

fn shown(token: Option<&Token>) -> String {
    match token {
        None => "the end".to_owned(),
        Some(Token::Word(text) | Token::Text(text) | Token::Query(text)) => format!("{text:?}"),
        Some(Token::Sign(sign)) => format!("{sign:?}"),
    }
}

fn read_options(given: &[(String, Option<String>)]) -> Result<Options, SqlError> {
    let mut format = Format::Text;
    for (name, value) in given {
        let word = if name == "format" { value.as_deref().unwrap_or_default() } else { name };
        match word {
            "text" if name == "format" => format = Format::Text,
            "csv" => format = Format::Csv,
            "binary" => format = Format::Binary,
            other if name == "format" => {
                return Err(SqlError::new("22023", format!("COPY format {other:?} not recognized")));
            }
            _ => {}
        }
    }
    let mut options = Options::new(format);
    let is_given = |wanted: &str| given.iter().any(|(name, _)| name == wanted);
    for (at, (name, value)) in given.iter().enumerate() {
        if given[..at].iter().any(|(earlier, _)| earlier == name) {
            return Err(SqlError::new("42601", "conflicting or redundant options"));
        }
        let text = value.as_deref().unwrap_or_default();
        match name.as_str() {
            "format" | "csv" | "binary" | "text" => {}
            "delimiter" | "delimiters" => options.delimiter = single("delimiter", text)?,
            "null" => text.clone_into(&mut options.null),
            "header" => options.header = header(text)?,
            "quote" => {
                options.quote = single(name, text)?;
                if !is_given("escape") {
                    options.escape = options.quote;
                }
            }
            "escape" => options.escape = single(name, text)?,
            "encoding" if matches!(text.to_ascii_lowercase().as_str(), "utf8" | "utf-8") => {}
            "freeze" => {}
            other => return Err(SqlError::unsupported(format!("the option {other} of COPY"))),
        }
    }
    if format == Format::Binary {
        if let Some((name, _)) = given.iter().find(|(name, _)| name == "delimiter" || name == "null") {
            let message = format!("cannot specify {} in BINARY mode", name.to_uppercase());
            return Err(SqlError::new("42601", message));
        }
        if options.header != Header::None {
            return Err(SqlError::unsupported("HEADER in binary form"));
        }
    }
    if format != Format::Csv
        && let Some((name, _)) = given.iter().find(|(name, _)| name == "quote" || name == "escape")
    {
        return Err(SqlError::new("0A000", format!("COPY {name} available only in CSV mode")));
    }
    check_signs(&options)?;
    Ok(options)
}

/// What separates values must not be taken for anything else.
fn check_signs(options: &Options) -> Result<(), SqlError> {
    let Options { format, delimiter, quote, null, .. } = options;
    let wrong = |message: String| Err(SqlError::new("22023", message));
    let is_line_end = |byte: u8| matches!(byte, b'\n' | b'\r');
    if is_line_end(*delimiter) {
        return wrong("COPY delimiter cannot be newline or carriage return".to_owned());
    }
    if null.bytes().any(is_line_end) {
        return wrong("COPY null representation cannot use newline or carriage return".to_owned());
    }
    let is_letter = matches!(delimiter, b'\\' | b'.' | b'a'..=b'z' | b'0'..=b'9');
    if *format != Format::Csv && is_letter {
        return wrong(format!("COPY delimiter cannot be {:?}", char::from(*delimiter).to_string()));
    }
    if *format == Format::Csv && delimiter == quote {
        return wrong("COPY delimiter and quote must be different".to_owned());
    }
    if null.bytes().any(|byte| byte == *delimiter) {
        return wrong("COPY delimiter must not appear in the NULL specification".to_owned());
    }
    if *format == Format::Csv && null.bytes().any(|byte| byte == *quote) {
        return wrong("CSV quote character must not appear in the NULL specification".to_owned());
    }
    Ok(())
}

fn header(text: &str) -> Result<Header, SqlError> {
    match text.to_ascii_lowercase().as_str() {
        "" | "true" | "on" | "1" => Ok(Header::Passed),
        "false" | "off" | "0" => Ok(Header::None),
        "match" => Ok(Header::Matched),
        _ => Err(SqlError::new("42601", "header requires a Boolean value or \"match\"")),
    }
}

fn single(name: &str, text: &str) -> Result<u8, SqlError> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(SqlError::new("0A000", format!("COPY {name} must be a single one-byte character"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_taken_apart() {
        let copy = parse("copy public.t (a, \"B b\") from stdin with (format csv, header true, null 'x')")
            .expect("valid")
            .expect("a copy");
        assert_eq!(copy.subject, Subject::Relation("t".into(), vec!["a".into(), "B b".into()]));
        assert!(copy.is_in && copy.options.header == Header::Passed && copy.options.format == Format::Csv);
        assert_eq!(copy.options.null, "x");
        let copy = parse("COPY (SELECT ')' FROM t) TO STDOUT CSV HEADER;").expect("valid").expect("a copy");
        assert_eq!(copy.subject, Subject::Query("SELECT ')' FROM t".into()));
        assert!(!copy.is_in && copy.options.header == Header::Passed);
        let copy = parse("COPY t FROM STDIN WITH BINARY").expect("valid").expect("a copy");
        assert_eq!(copy.options.format, Format::Binary);
        let copy = parse("COPY t FROM stdin (DELIMITER E'\\t')").expect("valid").expect("a copy");
        assert_eq!(copy.options.delimiter, b'\t');
        let copy = parse("COPY t FROM stdin (DELIMITER E'\\x01', NULL E'\\\\n\\'é')");
        let options = copy.expect("valid").expect("a copy").options;
        assert_eq!((options.delimiter, options.null.as_str()), (1, "\\n'é"));
        let copy = parse("COPY t FROM stdin WITH (FORMAT csv, ESCAPE '\\', HEADER match)");
        let options = copy.expect("valid").expect("a copy").options;
        assert_eq!((options.escape, options.header), (b'\\', Header::Matched));
        assert_eq!(parse("SELECT 1").expect("another"), None);
        for wrong in [
            "COPY t FROM 'file'",
            "COPY t",
            "COPY t FROM STDIN (FORMAT xml)",
            "COPY t (a FROM STDIN",
            "COPY t FROM STDIN; SELECT 1",
        ] {
            parse(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn options_that_contradict_are_refused() {
        for (options, sqlstate) in [
            ("DELIMITER 'x'", "22023"),
            ("DELIMITER '\\'", "22023"),
            ("DELIMITER ',,'", "0A000"),
            ("DELIMITER E'\\n'", "22023"),
            ("NULL E'a\\r'", "22023"),
            ("DELIMITER ',', NULL 'a,b'", "22023"),
            ("QUOTE '\"'", "0A000"),
            ("ESCAPE '\"'", "0A000"),
            ("FORMAT csv, DELIMITER '\"'", "22023"),
            ("FORMAT csv, NULL '\"'", "22023"),
            ("FORMAT csv, FORMAT csv", "42601"),
            ("FORMAT csv, HEADER maybe", "42601"),
            ("FORMAT binary, DELIMITER ','", "42601"),
            ("FORMAT binary, NULL 'x'", "42601"),
            ("FORMAT binary, HEADER", "0A000"),
            ("FORMAT csv, FORCE_NULL", "0A000"),
        ] {
            let statement = format!("COPY t FROM STDIN ({options})");
            assert_eq!(parse(&statement).expect_err(&statement).sqlstate, sqlstate, "{statement}");
        }
        let refused = parse("COPY t TO STDOUT (HEADER match)").expect_err("nothing is matched");
        assert_eq!(refused.sqlstate, "0A000");
    }
}
