//! The critical path: the spans that a build waited for.
//!
//! Seen from the end of a span backwards: it waited for the child that ended last, before that for the one that had ended
//! last when that child began, and so on. What ran beside them cost no time.

use super::tree::Forest;

/// Marks the critical path of every build.
pub fn mark(forest: &mut Forest) {
    for build in 0..forest.builds.len() {
        let end = forest.builds[build].end;
        let roots = forest.builds[build].roots.clone();
        // Groups of siblings, each with the time until which somebody waited for them.
        let mut groups = vec![(roots, end)];
        while let Some((mut siblings, mut until)) = groups.pop() {
            siblings.sort_by_key(|index| {
                let span = &forest.nodes[*index].span;
                std::cmp::Reverse((span.end, span.start))
            });
            for index in siblings {
                let node = &mut forest.nodes[index];
                if node.span.end <= until {
                    node.critical = true;
                    until = node.span.start;
                    groups.push((node.children.clone(), node.span.end));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::read::{Recording, Span};

    fn critical(spans: &[(u64, u64, u64, u64)]) -> Vec<u64> {
        let mut recording = Recording::default();
        recording.files.push("f".into());
        for (id, parent, start, end) in spans {
            let parent = (*parent != 0).then_some(*parent);
            recording.spans.push(Span { trace: 1, id: *id, parent, start: *start, end: *end, ..Span::default() });
        }
        let forest = Forest::grow(recording);
        let mut ids: Vec<u64> = forest.nodes.iter().filter(|node| node.critical).map(|node| node.span.id).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn one_after_the_other_are_all_waited_for() {
        assert_eq!(critical(&[(1, 0, 0, 100), (2, 1, 0, 40), (3, 1, 45, 90)]), [1, 2, 3]);
    }

    #[test]
    fn of_those_at_once_only_the_last_to_end_is() {
        assert_eq!(critical(&[(1, 0, 0, 100), (2, 1, 0, 40), (3, 1, 0, 90), (4, 2, 0, 40), (5, 3, 1, 2)]), [1, 3, 5]);
    }

    #[test]
    fn what_outlives_its_parent_is_not_waited_for() {
        assert_eq!(critical(&[(1, 0, 0, 100), (2, 1, 10, 150), (3, 1, 10, 50)]), [1, 3]);
    }
}
