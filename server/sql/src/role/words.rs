//! Statements about roles in the words that the parser knows: users are roles that can log in, and a password is always
//! encrypted.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

fn keyword(token: &TokenWithSpan) -> Option<Keyword> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

fn is_blank(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

/// `CREATE USER` becomes `CREATE ROLE ... LOGIN`, `ENCRYPTED PASSWORD` becomes `PASSWORD`; all other tokens stay as they are.
pub(crate) fn normalise(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.iter().any(|token| matches!(keyword(token), Some(Keyword::USER | Keyword::ROLE))) {
        return tokens;
    }
    let mut done = Vec::with_capacity(tokens.len() + 1);
    for statement in tokens.split_inclusive(|token| token.token == Token::SemiColon) {
        done.extend(normalise_statement(statement));
    }
    done
}

/// Costs as much as the statement is long: it may be as long as statements can be, and others wait.
fn normalise_statement(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut words = tokens.iter().enumerate().filter(|(_, token)| !is_blank(token));
    let first = words.next().and_then(|(_, token)| keyword(token));
    let second = words.next().and_then(|(at, token)| Some((at, keyword(token)?)));
    let (Some(Keyword::CREATE | Keyword::ALTER | Keyword::DROP), Some((at, Keyword::USER | Keyword::ROLE))) =
        (first, second)
    else {
        return tokens.to_vec();
    };
    let is_user = keyword(&tokens[at]) == Some(Keyword::USER);
    // A role may have any name.
    let name_end = words.next().map_or(tokens.len(), |(at, _)| at + 1);
    let mut done = tokens[..name_end].to_vec();
    done.extend(without_encrypted(&tokens[name_end..]));
    if is_user {
        done[at].token = Token::make_keyword("ROLE");
    }
    let says_login =
        tokens.iter().any(|token| matches!(keyword(token), Some(Keyword::LOGIN | Keyword::NOLOGIN)));
    if is_user && first == Some(Keyword::CREATE) && !says_login {
        let end = done.iter().rposition(|token| !is_blank(token) && token.token != Token::SemiColon);
        let end = end.expect("it has two words") + 1;
        let span = done[end - 1].span;
        done.insert(end, TokenWithSpan { token: Token::make_keyword("LOGIN"), span });
    }
    done
}

/// Without the word ENCRYPTED wherever PASSWORD follows.
fn without_encrypted(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let is_encrypted = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case("encrypted"),
        _ => false,
    };
    let mut done = Vec::with_capacity(tokens.len() + 1);
    let mut before_password = false;
    // From the end, so that what follows a word is known when it is met.
    for token in tokens.iter().rev() {
        if before_password && is_encrypted(token) {
            before_password = false;
            continue;
        }
        if !is_blank(token) {
            before_password = keyword(token) == Some(Keyword::PASSWORD);
        }
        done.push(token.clone());
    }
    done.reverse();
    done
}

#[cfg(test)]
mod tests {
    use sqlparser::dialect::PostgreSqlDialect;
    use sqlparser::tokenizer::Tokenizer;

    use super::normalise;

    fn normal(text: &str) -> String {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().expect("tokens");
        normalise(tokens).iter().map(|token| token.token.to_string()).collect()
    }

    #[test]
    fn users_are_roles_that_can_log_in() {
        for (text, expected) in [
            ("CREATE USER ann;", "CREATE ROLE annLOGIN;"),
            ("create user ann nologin", "create ROLE ann nologin"),
            ("DROP USER ann; SELECT user", "DROP ROLE ann; SELECT user"),
            ("ALTER USER a ENCRYPTED  PASSWORD 'x'", "ALTER ROLE a   PASSWORD 'x'"),
            ("ALTER ROLE encrypted PASSWORD 'x'", "ALTER ROLE encrypted PASSWORD 'x'"),
            ("ALTER ROLE a \"encrypted\" PASSWORD", "ALTER ROLE a \"encrypted\" PASSWORD"),
            ("CREATE TABLE user (encrypted password)", "CREATE TABLE user (encrypted password)"),
        ] {
            assert_eq!(normal(text), expected, "{text}");
        }
    }

    #[test]
    fn long_statements_take_no_longer_than_they_are_long() {
        let pairs = format!("CREATE USER a {}", "ENCRYPTED PASSWORD ".repeat(40_000));
        assert!(!normal(&pairs).contains("ENCRYPTED"));
        let blanks = format!("CREATE USER a ENCRYPTED{}PASSWORD 'x'", " ".repeat(1_000_000));
        assert!(!normal(&blanks).contains("ENCRYPTED"));
    }
}
