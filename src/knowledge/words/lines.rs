//! Words as people write them in a file: one a line, several that mean the same with commas or `=`
//! between them, `#` before a remark.

use super::Words;

/// Reads the lines; what is wrong with a word is found by [`Words::checked`].
pub fn read(text: &str) -> Words {
    let mut words = Words::default();
    for line in text.trim_start_matches('\u{feff}').lines() {
        add(&mut words, line);
    }
    words
}

/// Adds what one line says; synonyms of a word that has a group already join that group.
pub fn add(words: &mut Words, line: &str) {
    let line = line.split('#').next().unwrap_or_default();
    let mut terms: Vec<String> =
        line.split([',', '，', '、', '=', ';', '；']).map(str::trim).filter(|term| !term.is_empty()).map(str::to_owned).collect();
    if terms.len() < 2 {
        words.words.append(&mut terms);
        return;
    }
    let known = words.synonyms.iter_mut().find(|group| group.iter().any(|word| terms.contains(word)));
    match known {
        Some(group) => {
            terms.retain(|term| !group.contains(term));
            group.append(&mut terms);
        }
        None => words.synonyms.push(terms),
    }
}

/// Takes a word out of the dictionary and of its group; whether it was there.
pub fn remove(words: &mut Words, word: &str) -> bool {
    let count = |words: &Words| words.words.len() + words.synonyms.iter().map(Vec::len).sum::<usize>();
    let before = count(words);
    words.words.retain(|known| known != word);
    words.synonyms.iter_mut().for_each(|group| group.retain(|known| known != word));
    let found = count(words) < before;
    words.synonyms.retain(|group| group.len() > 1);
    found
}

/// The lines again.
pub fn write(words: &Words) -> String {
    let groups = words.synonyms.iter().map(|group| group.join(", "));
    words.words.iter().cloned().chain(groups).map(|line| line + "\n").collect()
}
