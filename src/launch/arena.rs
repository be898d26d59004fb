//! The launcher's memory: a stretch of the program itself, from which allocations are cut one after the other.
//!
//! The launcher lives for milliseconds and becomes another program, so it gives little back. The C library's allocator
//! asks the system for pages and returns them all the time, which was a fifth of the time of a start with a hundred
//! layers. What does not fit here comes from that allocator.

#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Its length in bytes: enough for thousands of variables. Memory that is not touched costs nothing.
const LENGTH: usize = 1 << 20;

/// The largest alignment that it serves.
const ALIGNMENT: usize = 16;

/// The memory. Only what was allocated last can be given back or grow where it lies.
#[repr(align(16))]
pub struct Arena {
    bytes: UnsafeCell<MaybeUninit<[u8; LENGTH]>>,
    /// Where the free part starts.
    end: AtomicUsize,
}

// SAFETY: every byte belongs to one allocation at most, because `end` moves over it in one atomic step.
unsafe impl Sync for Arena {}

impl Arena {
    /// Makes an empty one.
    #[expect(clippy::new_without_default, reason = "it is made once, in a static, and that must be a constant")]
    pub const fn new() -> Self {
        Self { bytes: UnsafeCell::new(MaybeUninit::uninit()), end: AtomicUsize::new(0) }
    }

    fn start(&self) -> *mut u8 {
        self.bytes.get().cast()
    }

    /// Where an allocation lies; `None` if it lies elsewhere.
    fn offset(&self, memory: *mut u8) -> Option<usize> {
        Some(memory.addr().wrapping_sub(self.start().addr())).filter(|offset| *offset < LENGTH)
    }

    /// Moves the end of an allocation, if it is the last one and there is room.
    fn move_end(&self, from: usize, to: usize) -> bool {
        to <= LENGTH && self.end.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

// SAFETY: an allocation lies within `bytes`, is aligned because the arena is, and no other one overlaps it: `end` moved
// over it and comes back to its start only when it is given back.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        loop {
            let end = self.end.load(Ordering::Relaxed);
            let offset = end.next_multiple_of(layout.align());
            if layout.align() > ALIGNMENT || layout.size() > LENGTH.saturating_sub(offset) {
                // SAFETY: the caller keeps the contract of `alloc`.
                return unsafe { System.alloc(layout) };
            }
            if self.move_end(end, offset + layout.size()) {
                // SAFETY: `offset` is at most `LENGTH`.
                return unsafe { self.start().add(offset) };
            }
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        match self.offset(memory) {
            Some(offset) => drop(self.move_end(offset + layout.size(), offset)),
            // SAFETY: it does not lie here, so the system's allocator gave it.
            None => unsafe { System.dealloc(memory, layout) },
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(offset) = self.offset(memory) else {
            // SAFETY: as in `dealloc`.
            return unsafe { System.realloc(memory, layout, size) };
        };
        if size <= LENGTH && self.move_end(offset + layout.size(), offset + size) {
            return memory;
        }
        // SAFETY: the caller vouches for the new size; both allocations have the bytes that are copied, and they are
        // different ones.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                memory.copy_to_nonoverlapping(moved, layout.size().min(size));
                self.dealloc(memory, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    /// Allocates and fills what it got.
    fn filled(arena: &Arena, layout: Layout, byte: u8) -> *mut u8 {
        // SAFETY: the layouts of these tests have a size.
        let memory = unsafe { arena.alloc(layout) };
        assert_eq!(memory.addr() % layout.align(), 0);
        // SAFETY: the memory has that length.
        unsafe { memory.write_bytes(byte, layout.size()) };
        memory
    }

    fn holds(memory: *const u8, size: usize, byte: u8) -> bool {
        // SAFETY: the memory was filled by `filled`.
        unsafe { std::slice::from_raw_parts(memory, size) }.iter().all(|found| *found == byte)
    }

    #[test]
    fn allocations_do_not_overlap() {
        static ARENA: Arena = Arena::new();
        let arena = &ARENA;
        let given: Vec<_> = (1..=200)
            .map(|index: u8| {
                let layout = layout(usize::from(index), 1 << (index % 5));
                (filled(arena, layout, index), layout, index)
            })
            .collect();
        for (memory, layout, index) in given {
            assert!(arena.offset(memory).is_some());
            assert!(holds(memory, layout.size(), index));
        }
    }

    #[test]
    fn what_was_allocated_last_comes_back_and_grows_where_it_lies() {
        static ARENA: Arena = Arena::new();
        let arena = &ARENA;
        let first = filled(arena, layout(10, 1), 1);
        // SAFETY: these are live allocations of this arena with these layouts.
        unsafe {
            assert_eq!(arena.realloc(first, layout(10, 1), 1000), first);
            let second = filled(arena, layout(8, 8), 2);
            let moved = arena.realloc(first, layout(1000, 1), 2000);
            assert_ne!(moved, first);
            assert!(holds(moved, 10, 1) && holds(second, 8, 2));
            arena.dealloc(moved, layout(2000, 1));
            assert_eq!(arena.alloc(layout(1, 1)), moved);
        }
    }

    #[test]
    fn what_does_not_fit_comes_from_the_system() {
        static ARENA: Arena = Arena::new();
        let arena = &ARENA;
        // SAFETY: these are live allocations of this arena with these layouts.
        unsafe {
            for layout in [layout(LENGTH + 1, 1), layout(64, 64)] {
                let memory = filled(arena, layout, 3);
                assert!(arena.offset(memory).is_none());
                let memory = arena.realloc(memory, layout, 2 * layout.size());
                assert!(holds(memory, layout.size(), 3));
                arena.dealloc(memory, Layout::from_size_align(2 * layout.size(), layout.align()).unwrap());
            }
            let large = filled(arena, layout(LENGTH, 1), 4);
            let larger = arena.realloc(large, layout(LENGTH, 1), LENGTH + 5);
            assert!(arena.offset(large).is_some() && arena.offset(larger).is_none());
            assert!(holds(larger, LENGTH, 4));
            arena.dealloc(larger, layout(LENGTH + 5, 1));
        }
    }
}
