//! Panics of foreign code, caught and made into messages.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs foreign code; a panic ends here and becomes its message.
///
/// What the code was changing when it panicked is only seen again by the code's
/// owner, who is told of the panic first; so it need not be unwind-safe.
pub(crate) fn caught<T>(foreign: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(foreign)).map_err(message)
}

fn message(payload: Box<dyn Any + Send>) -> String {
    let message = if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    };
    // A payload is foreign too and may panic when it is dropped.
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        mem::forget(again);
    }
    message
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;

    struct Grenade;
    impl Drop for Grenade {
        fn drop(&mut self) {
            panic!("a payload that panics when dropped");
        }
    }

    #[test]
    fn every_kind_of_payload_becomes_a_message() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught(|| -> () { panic!("plain") }), Err("plain".into()));
        let n = 3;
        assert_eq!(caught(|| -> () { panic!("n={n}") }), Err("n=3".into()));
        assert!(caught(|| -> () { panic_any(5_u8) }).is_err());
        assert!(caught(|| -> () { panic_any(Grenade) }).is_err());
    }
}
