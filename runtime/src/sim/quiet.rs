//! Catching the panics of a run without having them printed: with a rule switched off there are hundreds.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    /// While this thread catches: where the last panic was and what it said.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `body`; a panic in it becomes a message with its place.
pub(super) fn catch<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    CAUGHT.set(Some(String::new()));
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    let message = CAUGHT.take().expect("it was set above");
    result.map_err(|_| message)
}

/// Puts a hook before the one that is there, which goes on to serve all other threads.
fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !note(info) {
                usual(info);
            }
        }));
    });
}

/// Keeps the message if this thread catches.
fn note(info: &PanicHookInfo<'_>) -> bool {
    CAUGHT.with_borrow_mut(|caught| {
        let Some(caught) = caught else { return false };
        // The first panic is the cause; one in a destructor would only hide it.
        if caught.is_empty() {
            *caught = format!("panic: {info}");
        }
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(catch(|| 3), Ok(3));
        let caught = catch::<()>(|| panic!("arithmetic")).expect_err("it panics");
        assert!(caught.contains("arithmetic"), "{caught}");
        assert!(caught.contains("quiet.rs"), "{caught}");
    }
}
