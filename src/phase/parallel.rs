//! Doing the same to several things at the same time, results in the order of the things.

use std::thread;

/// Calls `work` with each item, each on a thread of its own, and waits for all.
///
/// Where the system gives no more threads, the rest is done one after the other.
pub(super) fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if let [item] = items {
        return vec![work(item)];
    }
    let work = &work;
    thread::scope(|scope| {
        let started: Vec<_> =
            items.iter().map(|item| (item, thread::Builder::new().spawn_scoped(scope, move || work(item)))).collect();
        started
            .into_iter()
            .map(|(item, thread)| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(_) => work(item),
            })
            .collect()
    })
}

/// Does two things at the same time, the second on this thread.
pub(super) fn both<A: Send, B>(first: impl Fn() -> A + Sync, second: impl FnOnce() -> B) -> (A, B) {
    let first = &first;
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, first);
        let second = second();
        let first = match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => first(),
        };
        (first, second)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn works_at_the_same_time_and_keeps_the_order() {
        let barrier = Barrier::new(3);
        let results = each(&[1, 2, 3], |number| {
            barrier.wait();
            number * 10
        });
        assert_eq!(results, [10, 20, 30]);
        let barrier = Barrier::new(2);
        let wait = || barrier.wait();
        let (first, second) = both(wait, wait);
        assert!(first.is_leader() != second.is_leader());
        assert!(each(&[] as &[i32], |number| *number).is_empty());
    }
}
