//! Doing the same to several things at the same time, results in the order of the things.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::{sync::mpsc, thread};

/// More threads than this wait for the disk and for each other.
pub(super) const MAX_THREADS: usize = 8;

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

/// Does `work` for each item on a few threads. `take` gets the results on the calling thread, in the order of the
/// items, as soon as all before them are there.
///
/// # Errors
/// The error of the first item, in their order, whose work failed; what comes after it may not be worked on.
pub(super) fn in_order<'a, T: Sync, R: Send, E: Send>(
    items: &'a [T],
    work: impl Fn(&'a T) -> Result<R, E> + Sync,
    take: impl FnMut(&'a T, R),
) -> Result<(), E> {
    in_order_by(1, items, work, take)
}

/// The same on no fewer threads than `least`: for work that waits for others too, and for items that all take long, so
/// that the cores share what an odd one takes.
///
/// # Errors
/// As [`in_order`].
pub(super) fn in_order_by<'a, T: Sync, R: Send, E: Send>(
    least: usize,
    items: &'a [T],
    work: impl Fn(&'a T) -> Result<R, E> + Sync,
    mut take: impl FnMut(&'a T, R),
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let (sender, results) = mpsc::channel();
    let worker = |sender: mpsc::Sender<(usize, Result<R, E>)>| {
        // Items are begun in order, so every item before a failed one was begun and its result will come.
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { break };
            let result = work(item);
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            if sender.send((index, result)).is_err() {
                break;
            }
        }
    };
    thread::scope(|scope| {
        let start = |sender| thread::Builder::new().spawn_scoped(scope, || worker(sender));
        let threads = cores().max(least).min(items.len());
        let started = (0..threads).filter(|_| start(sender.clone()).is_ok()).count();
        if started == 0 {
            // The system gives no thread.
            worker(sender);
        } else {
            drop(sender);
        }
        let mut early = BTreeMap::new();
        let mut due = 0;
        for (index, result) in results {
            early.insert(index, result);
            while let Some(result) = early.remove(&due) {
                take(&items[due], result?);
                due += 1;
            }
        }
        Ok(())
    })
}

/// How many things can be at work at the same time.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(2, usize::from).min(MAX_THREADS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::time::Duration;

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

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..20).collect();
        let mut taken = Vec::new();
        let slow_first = |item: &u64| {
            thread::sleep(Duration::from_millis(if item.is_multiple_of(2) { 4 } else { 0 }));
            Ok::<_, ()>(item * 2)
        };
        in_order(&items, slow_first, |item, result| taken.push((*item, result))).unwrap();
        assert_eq!(taken, items.iter().map(|item| (*item, item * 2)).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_error_in_order_is_told_and_ends_it() {
        let items: Vec<u32> = (0..100).collect();
        let mut taken = Vec::new();
        let work = |item: &u32| if *item >= 3 { Err(*item) } else { Ok(()) };
        assert_eq!(in_order(&items, work, |item, ()| taken.push(*item)), Err(3));
        assert_eq!(taken, [0, 1, 2]);
    }

    #[test]
    fn nothing_to_do_is_done() {
        assert_eq!(in_order(&[], |(): &()| Ok::<(), ()>(()), |(), ()| ()), Ok(()));
    }
}
