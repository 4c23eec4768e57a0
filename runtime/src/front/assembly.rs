//! Requests that went out in parts: their answers are put together in the order of the request.

use super::lane::Purpose;
use super::{Completion, Outcome, RequestId, Token};
use operators::Rows;
use std::collections::BTreeMap;

/// Set in the purpose of a part; without it the purpose is a request that went out whole.
const PART: Purpose = 1 << 63;
/// The purpose of a request whose answer nobody wants. Requests are numbered from 1.
pub(super) const CANCELLED: Purpose = 0;

/// All requests under way that went out in parts.
#[derive(Default)]
pub(super) struct Assemblies {
    requests: BTreeMap<u64, Assembly>,
    parts: BTreeMap<Purpose, Part>,
    next_part: Purpose,
    /// Completions that wait for the next poll.
    finished: Vec<Completion>,
}

struct Part {
    request: u64,
    /// For a lookup: the places of its keys in the request.
    places: Vec<u32>,
}

struct Assembly {
    outstanding: u32,
    /// Whether all parts have been sent.
    sent: bool,
    outcome: Partial,
    /// Where its parts were written.
    at: Token,
    /// Nobody wants its completion.
    is_cancelled: bool,
}

enum Partial {
    Written {
        changed: u32,
    },
    /// For each key its rows, as count and bytes.
    Found(Vec<(u32, Vec<u8>)>),
    Failed(Outcome),
}

impl Assemblies {
    /// The purpose of a request that goes out whole.
    pub(super) fn single(request: RequestId) -> Purpose {
        assert!(request.0 < PART);
        request.0
    }

    pub(super) fn begin_write(&mut self, request: RequestId) {
        self.begin(request, Partial::Written { changed: 0 });
    }

    pub(super) fn begin_lookup(&mut self, request: RequestId, keys: u32) {
        self.begin(request, Partial::Found(vec![(0, Vec::new()); keys as usize]));
    }

    fn begin(&mut self, request: RequestId, outcome: Partial) {
        self.requests.insert(
            request.0,
            Assembly { outstanding: 0, sent: false, outcome, at: Token::default(), is_cancelled: false },
        );
    }

    pub(super) fn add_write_part(&mut self, request: RequestId) -> Purpose {
        self.add_lookup_part(request, Vec::new())
    }

    pub(super) fn add_lookup_part(&mut self, request: RequestId, places: Vec<u32>) -> Purpose {
        self.requests.get_mut(&request.0).expect("begun").outstanding += 1;
        self.next_part += 1;
        let purpose = PART | self.next_part;
        self.parts.insert(purpose, Part { request: request.0, places });
        purpose
    }

    /// Drops the completion of a request when it comes, or if it waits here.
    pub(super) fn cancel(&mut self, request: RequestId) {
        self.finished.retain(|completion| completion.request != request);
        if let Some(assembly) = self.requests.get_mut(&request.0) {
            assembly.is_cancelled = true;
        }
    }

    /// All parts of the request are on their way. One without parts is finished.
    pub(super) fn sent(&mut self, request: RequestId) {
        let assembly = self.requests.get_mut(&request.0).expect("begun");
        assembly.sent = true;
        if assembly.outstanding == 0 {
            let assembly = self.requests.remove(&request.0).expect("just seen");
            self.finished.push(assembly.finish(request));
        }
    }

    /// Keeps completions for the next poll.
    pub(super) fn keep(&mut self, completions: Vec<Completion>) {
        self.finished.extend(completions);
    }

    /// Whether completions wait for the next poll.
    pub(super) fn has_finished(&self) -> bool {
        !self.finished.is_empty()
    }

    pub(super) fn take_finished(&mut self, completions: &mut Vec<Completion>) {
        completions.append(&mut self.finished);
    }

    /// Takes an answer; a request that it completes goes to `completions`, unless it was cancelled.
    pub(super) fn answer(
        &mut self,
        purpose: Purpose,
        outcome: Outcome,
        at: Token,
        completions: &mut Vec<Completion>,
    ) {
        if purpose == CANCELLED {
            return;
        }
        if purpose & PART == 0 {
            completions.push(Completion { request: RequestId(purpose), outcome, at });
            return;
        }
        let part = self.parts.remove(&purpose).expect("every part is answered once");
        let assembly = self.requests.get_mut(&part.request).expect("it waits for its parts");
        assembly.outstanding -= 1;
        assembly.at.merge(&at);
        assembly.add(outcome, &part.places);
        if assembly.sent && assembly.outstanding == 0 {
            let assembly = self.requests.remove(&part.request).expect("just seen");
            if !assembly.is_cancelled {
                completions.push(assembly.finish(RequestId(part.request)));
            }
        }
    }
}

impl Assembly {
    fn add(&mut self, outcome: Outcome, places: &[u32]) {
        match (&mut self.outcome, outcome) {
            (Partial::Failed(_), _) => {}
            (partial, failed @ Outcome::Failed(_)) => *partial = Partial::Failed(failed),
            (Partial::Written { changed }, Outcome::Written { changed: more }) => *changed += more,
            (Partial::Found(found), Outcome::Found { counts, rows }) => {
                let mut rows = rows.iter();
                for (place, count) in places.iter().zip(counts) {
                    let slot = &mut found[*place as usize];
                    slot.0 = count;
                    rows.by_ref()
                        .take(count as usize)
                        .for_each(|row| slot.1.extend_from_slice(row.bytes_all()));
                }
            }
            _ => unreachable!("shards answer what they are asked"),
        }
    }

    fn finish(self, request: RequestId) -> Completion {
        let outcome = match self.outcome {
            Partial::Written { changed } => Outcome::Written { changed },
            Partial::Failed(outcome) => outcome,
            Partial::Found(found) => {
                let counts: Vec<u32> = found.iter().map(|(count, _)| *count).collect();
                let count = counts.iter().sum();
                let rows = found.into_iter().flat_map(|(_, bytes)| bytes).collect();
                Outcome::Found { counts, rows: Rows { count, rows } }
            }
        };
        Completion { request, outcome, at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use operators::{Datum, RowBuilder};

    fn rows(values: &[i64]) -> Rows {
        let (mut rows, mut builder) = (Rows::new(), RowBuilder::new());
        values.iter().for_each(|value| rows.push_values(&mut builder, &[Datum::Int(*value)]));
        rows
    }

    #[test]
    fn a_lookup_in_parts_comes_back_in_the_order_of_its_keys() {
        let (mut assemblies, mut done) = (Assemblies::default(), Vec::new());
        assemblies.begin_lookup(RequestId(1), 3);
        let even = assemblies.add_lookup_part(RequestId(1), vec![0, 2]);
        let odd = assemblies.add_lookup_part(RequestId(1), vec![1]);
        assemblies.sent(RequestId(1));
        let mut answer = |part, counts, rows| {
            assemblies.answer(part, Outcome::Found { counts, rows }, Token::default(), &mut done);
        };
        answer(odd, vec![2], rows(&[10, 11]));
        answer(even, vec![1, 0], rows(&[5]));
        assert_eq!(done.len(), 1, "one answer is not enough");
        let Some(Completion {
            request: RequestId(1), outcome: Outcome::Found { counts, rows: found }, ..
        }) = done.pop()
        else {
            panic!("the lookup is complete")
        };
        assert_eq!((counts, found), (vec![1, 2, 0], rows(&[5, 10, 11])));
    }

    #[test]
    fn a_request_without_parts_is_finished_at_once() {
        let (mut assemblies, mut done) = (Assemblies::default(), Vec::new());
        assemblies.begin_write(RequestId(7));
        assemblies.sent(RequestId(7));
        assemblies.take_finished(&mut done);
        assert!(matches!(done[..], [Completion { outcome: Outcome::Written { changed: 0 }, .. }]));
    }
}
