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
