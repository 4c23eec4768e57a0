//! FOR UPDATE and its like in the words that the grammar knows: it has FOR UPDATE and FOR SHARE, each of one table at most.
//!
//! A weaker lock becomes the next stronger one, with a mark as the first part of the table's name that says which it was.
//! A clause of several tables becomes several clauses.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Marks FOR NO KEY UPDATE; no SQL name equals it.
pub(super) const NO_KEY: &str = "\u{1}no key";
/// Marks FOR KEY SHARE.
pub(super) const KEY: &str = "\u{1}key";

fn keyword(token: &TokenWithSpan) -> Option<Keyword> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

/// The clauses as the grammar knows them; all other tokens stay as they are.
pub(crate) fn normalise(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.iter().any(|token| keyword(token) == Some(Keyword::FOR)) {
        return tokens;
    }
    let mut done = Vec::with_capacity(tokens.len());
    let mut rest = tokens.as_slice();
    while let Some((token, after)) = rest.split_first() {
        match clause(rest) {
            Some((clauses, left)) => {
                done.extend(clauses);
                rest = left;
            }
            None => {
                done.push(token.clone());
                rest = after;
            }
        }
    }
    done
}

/// Takes tokens off the front, passing over blanks.
struct Reader<'t>(&'t [TokenWithSpan]);

impl<'t> Reader<'t> {
    fn next(&mut self) -> Option<&'t TokenWithSpan> {
        let at = self.0.iter().position(|token| !matches!(token.token, Token::Whitespace(_)))?;
        let token = &self.0[at];
        self.0 = &self.0[at + 1..];
        Some(token)
    }

    /// Takes these keywords if they come next.
    fn take(&mut self, keywords: &[Keyword]) -> Option<&'t [TokenWithSpan]> {
        let before = self.0;
        for wanted in keywords {
            if self.next().and_then(keyword) != Some(*wanted) {
                self.0 = before;
                return None;
            }
        }
        Some(&before[..before.len() - self.0.len()])
    }

    fn take_token(&mut self, wanted: &Token) -> bool {
        let before = self.0;
        let is_it = self.next().is_some_and(|token| token.token == *wanted);
        if !is_it {
            self.0 = before;
        }
        is_it
    }

    /// A name, with its schema if there is one.
    fn name(&mut self) -> Option<Vec<TokenWithSpan>> {
        let mut name = Vec::new();
        loop {
            let part = self.next().filter(|token| matches!(token.token, Token::Word(_)))?;
            name.push(part.clone());
            let before = self.0;
            match self.next().filter(|token| token.token == Token::Period) {
                Some(point) => name.push(point.clone()),
                None => {
                    self.0 = before;
                    return Some(name);
                }
            }
        }
    }
}

/// The clause that begins here as the grammar knows it, and what is behind it; none if that is what it is already.
fn clause(tokens: &[TokenWithSpan]) -> Option<(Vec<TokenWithSpan>, &[TokenWithSpan])> {
    let span = tokens.first()?.span;
    let mut reader = Reader(tokens);
    reader.take(&[Keyword::FOR])?;
    let (strength, mark) = if reader.take(&[Keyword::UPDATE]).is_some() {
        ("UPDATE", None)
    } else if reader.take(&[Keyword::SHARE]).is_some() {
        ("SHARE", None)
    } else if reader.take(&[Keyword::NO, Keyword::KEY, Keyword::UPDATE]).is_some() {
        ("UPDATE", Some(NO_KEY))
    } else {
        reader.take(&[Keyword::KEY, Keyword::SHARE])?;
        ("SHARE", Some(KEY))
    };
    let mut names = Vec::new();
    if reader.take(&[Keyword::OF]).is_some() {
        names.push(reader.name()?);
        while reader.take_token(&Token::Comma) {
            names.push(reader.name()?);
        }
    }
    if mark.is_none() && names.len() < 2 {
        return None;
    }
    let nowait = reader.take(&[Keyword::NOWAIT]);
    let wait = nowait.or_else(|| reader.take(&[Keyword::SKIP, Keyword::LOCKED])).unwrap_or_default();
    let at = |token: Token| TokenWithSpan { token, span };
    let mut done = Vec::new();
    let no_name = [Vec::new()];
    let names = if names.is_empty() { &no_name[..] } else { &names };
    for name in names {
        done.extend(["FOR", strength, "OF"].map(|word| at(Token::make_keyword(word))));
        if let Some(mark) = mark {
            done.push(at(Token::make_word(mark, Some('"'))));
            done.extend((!name.is_empty()).then(|| at(Token::Period)));
        }
        done.extend_from_slice(name);
        done.extend_from_slice(wait);
    }
    Some((done, reader.0))
}

#[cfg(test)]
mod tests {
    use crate::parse::parse;

    #[test]
    fn clauses_become_those_of_the_grammar() {
        let check = |clause: &str, wanted: &str| {
            let parsed = parse(&format!("SELECT 1 FROM t {clause}")).expect(clause);
            let text = parsed[0].statement.to_string();
            assert_eq!(text.replace('\u{1}', "~"), format!("SELECT 1 FROM t {wanted}"));
        };
        check("FOR UPDATE", "FOR UPDATE");
        check("for update of t skip locked", "FOR UPDATE OF t SKIP LOCKED");
        check("FOR NO KEY UPDATE NOWAIT", "FOR UPDATE OF \"~no key\" NOWAIT");
        check("FOR KEY SHARE OF t", "FOR SHARE OF \"~key\".t");
        let each = "FOR UPDATE OF a SKIP LOCKED FOR UPDATE OF public.b SKIP LOCKED LIMIT 1";
        let parsed =
            parse("SELECT 1 FROM a, b FOR UPDATE OF a, public.b SKIP LOCKED LIMIT 1").expect("several");
        let text = parsed[0].statement.to_string();
        let limit_first = each.replace(" LIMIT 1", "");
        assert_eq!(text, format!("SELECT 1 FROM a, b LIMIT 1 {limit_first}"));
    }
}
