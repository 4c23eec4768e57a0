//! From text to statements.

use crate::error::{Result, SqlError};
use sqlparser::ast::Statement;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use std::sync::Arc;

/// Longest text of a query message, in bytes.
pub const SQL_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of a statement; the binder recurses as deep.
const NESTING_MAX: usize = 60;

/// A parsed statement with its text.
#[derive(Debug, Clone)]
pub struct Parsed {
    pub(crate) statement: Statement,
    pub(crate) sql: String,
    /// All that was parsed, in which places are counted.
    pub(crate) text: Arc<str>,
}

impl Parsed {
    /// The statement's text; in the parser's words if it was one of several.
    pub fn sql(&self) -> &str {
        &self.sql
    }
}

/// The statements of a text, which are separated by semicolons.
pub fn parse(text: &str) -> Result<Vec<Parsed>> {
    if text.len() > SQL_BYTES_MAX {
        return Err(SqlError::new("54000", format!("a query has at most {SQL_BYTES_MAX} bytes"))
            .hint("Load many rows with several INSERTs or with COPY."));
    }
    let canonical = plain_fetch(text);
    let dialect = PostgreSqlDialect {};
    let statements = Tokenizer::new(&dialect, canonical.as_deref().unwrap_or(text))
        .tokenize_with_location()
        .map_err(ParserError::from)
        .and_then(|tokens| {
            Parser::new(&dialect)
                .with_recursion_limit(NESTING_MAX)
                .with_tokens_with_locations(in_words_of_the_grammar(tokens))
                .parse_statements()
        })
        .map_err(|error| syntax_error(error, text))?;
    let only = statements.len() == 1;
    let whole: Arc<str> = Arc::from(text);
    let parsed = statements.into_iter().map(|statement| {
        let sql = if only { text.to_owned() } else { statement.to_string() };
        Parsed { statement, sql, text: whole.clone() }
    });
    Ok(parsed.collect())
}

fn in_words_of_the_grammar(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    explained_objects(crate::locking::words::normalise(crate::role::normalise(tokens)))
}

/// The option that marks an EXPLAIN of a table or view; no SQL name equals it.
pub(crate) const EXPLAINED_OBJECT: &str = "\u{1}object";

/// `EXPLAIN (...) name` becomes an EXPLAIN of a query of that name with [`EXPLAINED_OBJECT`] among its options, since the grammar
/// forgets the options of one without a statement. All other tokens stay as they are.
fn explained_objects(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_explain =
        |token: &TokenWithSpan| matches!(&token.token, Token::Word(word) if word.keyword == Keyword::EXPLAIN);
    if !tokens.iter().any(is_explain) {
        return tokens;
    }
    let statements = tokens.split_inclusive(|token| token.token == Token::SemiColon);
    statements
        .flat_map(|statement| explained_object(statement).unwrap_or_else(|| statement.to_vec()))
        .collect()
}

fn explained_object(tokens: &[TokenWithSpan]) -> Option<Vec<TokenWithSpan>> {
    let is_said =
        |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_) | Token::SemiColon | Token::EOF);
    let said: Vec<&TokenWithSpan> = tokens.iter().filter(is_said).collect();
    let Token::Word(first) = &said.first()?.token else { return None };
    let end = said.iter().position(|token| token.token == Token::RParen)?;
    let (options, name) = said.split_at(end);
    let is_options = options.len() > 2 && options[1].token == Token::LParen;
    let is_name = match &name[1..] {
        [name] => matches!(name.token, Token::Word(_)),
        [schema, dot, name] => {
            dot.token == Token::Period
                && matches!((&schema.token, &name.token), (Token::Word(_), Token::Word(_)))
        }
        _ => false,
    };
    if first.keyword != Keyword::EXPLAIN || !is_options || !is_name {
        return None;
    }
    let at = |token: Token| TokenWithSpan { token, span: name[0].span };
    let mark = [Token::Comma, Token::make_word(EXPLAINED_OBJECT, Some('"')), Token::RParen];
    let query = [Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")];
    let mut done: Vec<TokenWithSpan> = options.iter().copied().cloned().collect();
    done.extend(mark.into_iter().chain(query).map(at));
    done.extend(name[1..].iter().copied().cloned());
    done.extend(tokens.iter().filter(|token| token.token == Token::SemiColon).cloned());
    Some(done)
}

/// What marks a FETCH that is to be a MOVE; no SQL name equals it.
pub(crate) const MOVE: &str = "\u{1}move";

/// FETCH and MOVE in the one form that the grammar knows; none if the text is another statement.
fn plain_fetch(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches(';').trim_end();
    let (verb, mut rest) = text.split_once(char::is_whitespace)?;
    let moves = verb.eq_ignore_ascii_case("move");
    if text.contains(';') || !moves && !verb.eq_ignore_ascii_case("fetch") {
        return None;
    }
    // The last word is the cursor, whatever it is called.
    let mut take = |wanted: &dyn Fn(&str) -> bool| -> Option<String> {
        let (word, after) = rest.trim_start().split_once(char::is_whitespace)?;
        let word = word.to_ascii_lowercase();
        wanted(&word).then(|| {
            rest = after.trim_start();
            word
        })
    };
    let is_count = |word: &str| word == "all" || word.parse::<i64>().is_ok();
    let plain = |word: &str| ["next", "prior", "first", "last"].contains(&word);
    let direction = if let Some(word) = take(&|word| is_count(word) || plain(word)) {
        word
    } else if let Some(word) = take(&|word| ["absolute", "relative"].contains(&word)) {
        format!("{word} {}", take(&is_count)?)
    } else if let Some(word) = take(&|word| ["forward", "backward"].contains(&word)) {
        match take(&is_count) {
            Some(count) => format!("{word} {count}"),
            None if word == "forward" => "next".to_owned(),
            None => "prior".to_owned(),
        }
    } else {
        "next".to_owned()
    };
    take(&|word| ["from", "in"].contains(&word));
    let mark = if moves { format!(" INTO \"{MOVE}\"") } else { String::new() };
    Some(format!("FETCH {direction} FROM {}{mark}", rest.trim_start()))
}

fn syntax_error(error: ParserError, text: &str) -> SqlError {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => {
            return SqlError::new("54001", format!("a statement is nested at most {NESTING_MAX} deep"));
        }
    };
    let Some((what, place)) = message.rsplit_once(" at Line: ") else {
        // Only the end of the text has no place.
        let mut error = SqlError::syntax(message);
        error.position = Some(text.chars().count() + 1);
        return error;
    };
    let mut error = SqlError::syntax(what);
    if let Some((line, column)) = place.split_once(", Column: ") {
        let number = |digits: &str| digits.trim().parse::<u64>().ok();
        error.location = number(line)
            .zip(number(column))
            .map(|(line, column)| sqlparser::tokenizer::Location { line, column });
    }
    error.located(text)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn errors_say_where() {
        let error = parse("SELECT 1;\nSELECT 2 +").expect_err("half a sum");
        assert_eq!(error.sqlstate, "42601");
        assert!(error.position.is_some(), "{error:?}");
        assert_eq!(parse(" ; ").expect("nothing is no error").len(), 0);
        assert_eq!(parse("SELECT 1; SELECT 2;").expect("two").len(), 2);
    }

    #[test]
    fn fetch_and_move_have_one_form() {
        use super::plain_fetch;
        let check =
            |text: &str, wanted: &str| assert_eq!(plain_fetch(text).as_deref(), Some(wanted), "{text}");
        check("FETCH c", "FETCH next FROM c");
        check("fetch forward from c;", "FETCH next FROM c");
        check("FETCH FORWARD 3 FROM \"a b\"", "FETCH forward 3 FROM \"a b\"");
        check("FETCH ALL IN c", "FETCH all FROM c");
        check("MOVE 2 c", "FETCH 2 FROM c INTO \"\u{1}move\"");
        assert_eq!(plain_fetch("SELECT 1"), None);
    }

    #[test]
    fn nesting_is_limited() {
        let deep = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
        assert_eq!(parse(&deep).expect_err("too deep").sqlstate, "54001");
    }
}
