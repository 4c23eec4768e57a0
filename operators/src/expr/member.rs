//! Functions of JSON values, which are texts in the form of `json.rs`.

use super::bound::Scratch;
use super::function::{Function, INT, Parameter, Signature, TEXT, signature};
use super::json::{self, Kind};
use super::string::made;
use super::{array, cast};
use crate::value::{Datum, Type};

/// A function of JSON values whose result is NULL when any argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonFunction {
    /// The value that a text writes down.
    Parse,
    /// A text as a JSON string.
    Quote,
    Member,
    Element,
    Path,
    /// The value as text, a string without its quotes.
    Text,
    Contains,
    HasKey,
    HasAny,
    HasAll,
    TypeName,
    ArrayLength,
    Concat,
    Without,
    /// A number, or a truth value.
    Number,
    Boolean,
}

pub(super) const SIGNATURES: &[Signature] = {
    use JsonFunction as J;
    use Type::{Bool, Int, Numeric, Text};
    const fn of(name: &'static str, function: J, takes: &'static [Parameter], gives: Type) -> Signature {
        signature(name, Function::Json(function), takes, 0, Some(gives))
    }
    &[
        of("json_parse", J::Parse, &[TEXT], Text),
        of("json_quote", J::Quote, &[TEXT], Text),
        of("json_member", J::Member, &[TEXT, TEXT], Text),
        of("json_element", J::Element, &[TEXT, INT], Text),
        of("json_path", J::Path, &[TEXT, TEXT], Text),
        of("json_text", J::Text, &[TEXT], Text),
        of("json_contains", J::Contains, &[TEXT, TEXT], Bool),
        of("json_has_key", J::HasKey, &[TEXT, TEXT], Bool),
        of("json_has_any", J::HasAny, &[TEXT, TEXT], Bool),
        of("json_has_all", J::HasAll, &[TEXT, TEXT], Bool),
        of("json_typeof", J::TypeName, &[TEXT], Text),
        of("json_array_length", J::ArrayLength, &[TEXT], Int),
        of("json_concat", J::Concat, &[TEXT, TEXT], Text),
        of("json_without", J::Without, &[TEXT, TEXT], Text),
        of("json_number", J::Number, &[TEXT], Numeric),
        of("json_boolean", J::Boolean, &[TEXT], Bool),
    ]
};

impl JsonFunction {
    /// Computes the function of arguments that are not NULL.
    pub(super) fn call<'a>(self, arguments: &[Datum<'a>], scratch: &'a Scratch) -> Option<Datum<'a>> {
        use Datum::{Bool, Int, Text};
        let texts = scratch.texts();
        let found = |part: Option<&'a str>| Some(part.map_or(Datum::Null, Text));
        match (self, arguments) {
            (Self::Parse, [Text(text)]) => made(&json::canonical(text).ok()?, texts),
            (Self::Quote, [Text(text)]) => {
                let mut quoted = String::new();
                json::quote(text, &mut quoted);
                made(&quoted, texts)
            }
            (Self::Member, [Text(json), Text(name)]) => found(json::member(json, name)),
            (Self::Element, [Text(json), Int(index)]) => found(json::element(json, *index)),
            (Self::Path, [Text(json), Text(path)]) => {
                let steps = array::elements(path)?;
                found(steps.iter().try_fold(*json, |json, step| json::step(json, step.as_deref()?)))
            }
            (Self::Text, [Text(json)]) => match json::text(json) {
                Some(std::borrow::Cow::Borrowed(text)) => Some(Text(text)),
                Some(std::borrow::Cow::Owned(text)) => made(&text, texts),
                None => Some(Datum::Null),
            },
            (Self::Contains, [Text(left), Text(right)]) => json::contains(left, right).map(Bool),
            (Self::HasKey, [Text(json), Text(name)]) => Some(Bool(json::has_key(json, name))),
            (Self::HasAny, [Text(json), Text(names)]) => {
                let names = array::elements(names)?;
                Some(Bool(names.iter().flatten().any(|name| json::has_key(json, name))))
            }
            (Self::HasAll, [Text(json), Text(names)]) => {
                let names = array::elements(names)?;
                Some(Bool(names.iter().flatten().all(|name| json::has_key(json, name))))
            }
            (Self::TypeName, [Text(json)]) => Some(Text(json::kind(json).name())),
            (Self::ArrayLength, [Text(json)]) => json::array_length(json).map(Int),
            (Self::Concat, [Text(left), Text(right)]) => made(&json::concat(left, right)?, texts),
            (Self::Without, [Text(json), Text(name)]) => made(&json::without(json, name)?, texts),
            (Self::Number, [Text(json)]) => match json::kind(json) {
                Kind::Number => cast::parse_numeric(json).map(Datum::Numeric),
                _ => None,
            },
            (Self::Boolean, [Text(json)]) => match json::kind(json) {
                Kind::Boolean => Some(Bool(*json == "true")),
                _ => None,
            },
            _ => unreachable!("{self:?} does not take {arguments:?}"),
        }
    }
}
