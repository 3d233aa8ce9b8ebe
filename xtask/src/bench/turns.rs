//! Who is next.

/// The order in which a round goes through the contestants, whose groups these are. A group stays
/// together, so that what is compared is measured within a short time; in it, every other round goes
/// backwards, and after both ways another one begins, so that nobody is always behind the same one.
pub(crate) fn of_round(groups: &[&str], round: usize) -> Vec<usize> {
    let mut order = Vec::new();
    let mut seen = Vec::new();
    for group in groups {
        if seen.contains(group) {
            continue;
        }
        seen.push(group);
        let mut members: Vec<usize> = (0..groups.len()).filter(|n| groups[*n] == *group).collect();
        let count = members.len();
        members.rotate_left(round / 2 % count);
        if round % 2 == 1 {
            members.reverse();
        }
        order.extend(members);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_stay_together_and_turns_change() {
        let groups = ["a", "a", "b", "a", "b"];
        assert_eq!(of_round(&groups, 0), [0, 1, 3, 2, 4]);
        assert_eq!(of_round(&groups, 1), [3, 1, 0, 4, 2]);
        assert_eq!(of_round(&groups, 2), [1, 3, 0, 4, 2]);
        assert_eq!(of_round(&groups, 3), [0, 3, 1, 2, 4]);
        assert!(of_round(&[], 7).is_empty());
    }
}
