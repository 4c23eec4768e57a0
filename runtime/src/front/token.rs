//! What a session has written, so that its reads can be made to show it.
//!
//! A token holds, for each shard that has acknowledged a write, how far the shard had consumed its ingest link then. These
//! positions are those of the writes in the shard's log: an acknowledged write is durable, its record is never trimmed, and the
//! link has the order of the log. So a position names the same writes whatever dies: the shard, all shards, or the front that was
//! told; a label would not, once nobody is left whose replies the shard steers to.
//!
//! As text a token is `shard:position` for each shard, joined by commas; the empty text is the token of who has
//! written nothing.

use crate::clock::{SHARD_COUNT_MAX, ShardId};
use std::fmt;
use std::str::FromStr;

/// The longest text that can be a token: shard, colon, position and comma for each shard.
const TEXT_BYTES_MAX: usize = SHARD_COUNT_MAX as usize * (4 + 1 + 20 + 1);

/// Names writes that a read must show. Tokens can be merged, printed and parsed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Token {
    /// In order of the shards, each once; positions are above 0.
    positions: Vec<(ShardId, u64)>,
}

/// A text that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a clock is a list like 0:12,3:7 of shards and positions, or empty")]
pub struct TokenError;

impl Token {
    /// The writes of both.
    pub fn merge(&mut self, other: &Token) {
        other.positions.iter().for_each(|(shard, position)| self.note(*shard, *position));
    }

    /// Whether it names no write.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// How far each shard must have consumed its ingest link, in order of the shards.
    pub(crate) fn positions(&self) -> &[(ShardId, u64)] {
        &self.positions
    }

    /// How far a shard must have consumed its ingest link; 0 if the token does not name it.
    pub(crate) fn position(&self, shard: ShardId) -> u64 {
        let place = self.positions.binary_search_by_key(&shard, |(shard, _)| *shard);
        place.map_or(0, |place| self.positions[place].1)
    }

    /// Adds the writes of `shard` up to `position`.
    pub(crate) fn note(&mut self, shard: ShardId, position: u64) {
        if position == 0 {
            return;
        }
        match self.positions.binary_search_by_key(&shard, |(shard, _)| *shard) {
            Ok(place) => self.positions[place].1 = self.positions[place].1.max(position),
            Err(place) => self.positions.insert(place, (shard, position)),
        }
    }
}

impl Clone for Token {
    fn clone(&self) -> Token {
        Token { positions: self.positions.clone() }
    }

    /// Keeps its own memory.
    fn clone_from(&mut self, other: &Token) {
        self.positions.clone_from(&other.positions);
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (shard, position)) in self.positions.iter().enumerate() {
            write!(f, "{}{shard}:{position}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Token, TokenError> {
        let mut token = Token::default();
        if text.len() > TEXT_BYTES_MAX {
            return Err(TokenError);
        }
        for part in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
            let (shard, position) = part.split_once(':').ok_or(TokenError)?;
            let shard = ShardId(number(shard)?);
            if shard.0 >= SHARD_COUNT_MAX {
                return Err(TokenError);
            }
            token.note(shard, number(position)?);
        }
        Ok(token)
    }
}

/// Digits and nothing else: the usual parser takes a sign as well.
fn number<T: FromStr>(text: &str) -> Result<T, TokenError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().map_err(|_| TokenError) } else { Err(TokenError) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_being_printed() {
        for text in ["", "0:1", "0:12,3:7,1023:18446744073709551615"] {
            assert_eq!(text.parse::<Token>().map(|token| token.to_string()).as_deref(), Ok(text));
        }
        assert_eq!(
            " 3:7, 0:12 ,3:5".parse::<Token>().map(|token| token.to_string()).as_deref(),
            Ok("0:12,3:7")
        );
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let long = vec!["0:1"; TEXT_BYTES_MAX].join(",");
        for text in [
            ",",
            "0",
            "0:",
            ":1",
            "0:-1",
            "0:+1",
            "1024:1",
            "0:1;1:1",
            "a:b",
            "0:18446744073709551616",
            &long,
        ] {
            assert_eq!(text.parse::<Token>(), Err(TokenError), "{text}");
        }
    }

    #[test]
    fn a_merged_token_names_the_newest_of_each_shard() {
        let mut token: Token = "0:5,2:9".parse().expect("a token");
        token.merge(&"1:1,2:3,0:6".parse().expect("a token"));
        assert_eq!(token.to_string(), "0:6,1:1,2:9");
        assert_eq!((token.position(ShardId(1)), token.position(ShardId(3))), (1, 0));
    }
}
