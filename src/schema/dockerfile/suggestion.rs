//! "Did you mean": the known word that is nearest to an unknown one.

/// ` (did you mean X?)` when a known word is at most two edits away, in the capitals of the unknown one; else nothing.
pub(super) fn nearest(unknown: &str, known: &[&str]) -> String {
    let wanted = unknown.to_ascii_lowercase();
    let distances = known.iter().map(|word| (distance(&wanted, &word.to_ascii_lowercase()), word));
    match distances.filter(|(distance, _)| *distance < 3).min() {
        None | Some((0, _)) => String::new(),
        Some((_, word)) if unknown == wanted => format!(" (did you mean {}?)", word.to_ascii_lowercase()),
        Some((_, word)) => format!(" (did you mean {word}?)"),
    }
}

/// How many letters must be added, removed or replaced. Words that are far longer than any known one are far away.
fn distance(from: &str, to: &str) -> usize {
    if from.len() > to.len() + 3 {
        return from.len();
    }
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}
