//! Memory of a program that lives for milliseconds: a stretch of the program itself, from which allocations are cut one
//! after the other.
//!
//! Such a program gives little back. A general allocator asks the system for memory, keeps pages for each size that is
//! asked for and touches far more of them: with the C library's, that was a fifth of the launcher's time with a hundred
//! layers, with mimalloc a third of the pages of a phase with one buildpack. What does not fit here comes from such an
//! allocator.

#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The largest alignment that it serves.
const ALIGNMENT: usize = 16;

/// `LENGTH` bytes of memory in front of another allocator. Only what was allocated last can be given back or grow where
/// it lies. Memory that is not touched costs nothing.
#[repr(C, align(16))]
pub struct Arena<const LENGTH: usize, Rest> {
    bytes: UnsafeCell<[u8; LENGTH]>,
    /// Where the free part starts.
    end: AtomicUsize,
    /// How far back `end` ever came from: behind it, all is still zero.
    used: AtomicUsize,
    /// Serves what does not fit.
    rest: Rest,
}

// SAFETY: every byte belongs to one allocation at most, because `end` moves over it in one atomic step. That step also
// orders what the last owner and the next one do with the byte, if they are threads.
unsafe impl<const LENGTH: usize, Rest: Sync> Sync for Arena<LENGTH, Rest> {}

impl<const LENGTH: usize, Rest> Arena<LENGTH, Rest> {
    /// Makes an empty one in front of `rest`.
    pub const fn before(rest: Rest) -> Self {
        Self { bytes: UnsafeCell::new([0; LENGTH]), end: AtomicUsize::new(0), used: AtomicUsize::new(0), rest }
    }

    fn start(&self) -> *mut u8 {
        self.bytes.get().cast()
    }

    /// Where an allocation lies; `None` if it lies elsewhere.
    fn offset(&self, memory: *mut u8) -> Option<usize> {
        Some(memory.addr().wrapping_sub(self.start().addr())).filter(|offset| *offset < LENGTH)
    }

    /// Cuts an allocation and says where it lies; `None` if there is no room.
    fn cut(&self, layout: Layout) -> Option<usize> {
        if layout.align() > ALIGNMENT {
            return None;
        }
        loop {
            let end = self.end.load(Ordering::Relaxed);
            let offset = end.next_multiple_of(layout.align());
            if layout.size() > LENGTH.saturating_sub(offset) {
                return None;
            }
            if self.move_end(end, offset + layout.size()) {
                return Some(offset);
            }
        }
    }

    /// Moves the end of an allocation, if it is the last one and there is room.
    fn move_end(&self, from: usize, to: usize) -> bool {
        if to < from {
            self.used.fetch_max(from, Ordering::Relaxed);
        }
        to <= LENGTH && self.end.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

// SAFETY: an allocation lies within `bytes`, is aligned because the arena is, and no other one overlaps it: `end` moved
// over it and comes back to its start only when it is given back.
//
// Nothing is inlined, as every allocation of the program would be longer by it: the lifecycle by 240 KB.
unsafe impl<const LENGTH: usize, Rest: GlobalAlloc> GlobalAlloc for Arena<LENGTH, Rest> {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.cut(layout) {
            // SAFETY: `offset` is at most `LENGTH`.
            Some(offset) => unsafe { self.start().add(offset) },
            // SAFETY: the caller keeps the contract of `alloc`.
            None => unsafe { self.rest.alloc(layout) },
        }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(offset) = self.cut(layout) else {
            // SAFETY: as in `alloc`.
            return unsafe { self.rest.alloc_zeroed(layout) };
        };
        // What was given back lies before `used`; whoever gave it back said so before `end` came back.
        let dirty = self.used.load(Ordering::Relaxed).saturating_sub(offset).min(layout.size());
        // SAFETY: `offset` is at most `LENGTH`, and the allocation has these bytes.
        unsafe {
            let memory = self.start().add(offset);
            memory.write_bytes(0, dirty);
            memory
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        match self.offset(memory) {
            Some(offset) => drop(self.move_end(offset + layout.size(), offset)),
            // SAFETY: it does not lie here, so the other allocator gave it.
            None => unsafe { self.rest.dealloc(memory, layout) },
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(offset) = self.offset(memory) else {
            // SAFETY: as in `dealloc`.
            return unsafe { self.rest.realloc(memory, layout, size) };
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
    use std::alloc::System;

    use super::*;

    const LENGTH: usize = 1 << 16;
    type Arena = super::Arena<LENGTH, System>;

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
        static ARENA: Arena = Arena::before(System);
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
        static ARENA: Arena = Arena::before(System);
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
        static ARENA: Arena = Arena::before(System);
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

    #[test]
    fn memory_that_was_used_before_is_zero_again_where_that_is_asked_for() {
        static ARENA: Arena = Arena::before(System);
        let arena = &ARENA;
        let before = filled(arena, layout(1000, 1), 5);
        // SAFETY: these are live allocations of this arena with these layouts.
        unsafe {
            arena.dealloc(before, layout(1000, 1));
            let between = filled(arena, layout(200, 1), 6);
            for size in [300, 2000, LENGTH] {
                let memory = arena.alloc_zeroed(layout(size, 1));
                assert!(holds(memory, size, 0), "{size}");
                memory.write_bytes(7, size);
                arena.dealloc(memory, layout(size, 1));
            }
            assert!(holds(between, 200, 6));
        }
    }
}
