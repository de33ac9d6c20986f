import SluiceBudgets
public import SluiceCore

extension CoresetStage {
    public static let descriptor = Descriptor(
        name: "coreset",
        summary: "Keeps a few records that cover all records, with a certificate.",
        discussion: """
            Reads `embedding` (or the column that `vectors` names), and `cluster` with per: cluster. Writes `rank`, the pick order within a group.

              farthest-first  the record farthest from all picks so far comes next, from a start drawn by content \
            (Gonzalez 1985; KCenterGreedy of Sener and Savarese 2018). Its radius is at most twice the least possible; \
            the report states the radius, a lower bound that no choice of as many records can beat, and the factor between \
            them. The first j picks are those of a budget of j.
              medoids         k-means with one cluster per kept record, in two levels above 1,024; keeps the record \
            nearest to each centre. It has the least mean distance of all methods here; there is no bound for it
              facility-location   lazy greedy on the sum of squared distances, within a sample of `reservoir` records \
            (65,536) of a larger group; the start costs sample squared times dimension. The report has what the picks are worth, and \
            what no choice of as many can exceed, which takes about as long again (not with certificate: quick)
              sensitivity     drawn with weights from the distance to k-means centres (Axiotis et al., ICML 2024)
              score-first     in descending score, each record that is not within `distance` of an earlier pick, until \
            the budget is met (DEITA, arXiv 2312.15685). The report states any shortfall
              random          uniform by content: the records whose hash and the seed draw the smallest numbers
              closest, farthest, mixed   by cosine to the centre of the group; mixed alternates (topK, leastK and \
            mixed of arXiv 2305.09246)

            swaps: 100, with farthest-first, goes on by a local search: the record farthest from all picks, or one near it, takes the \
            place of a pick as long as that lowers the radius. The lower bound stays, so the factor falls with the radius. It needs the \
            vectors of a group in memory; a step costs 24 times group size times dimension.

            rounds: composable, with farthest-first: picks within every `part` records, then farthest-first among \
            those picks. It reads the vectors twice, where one round reads them several times up to once per pick. It \
            needs at most twice the multiply-adds, plus those among the picks; the factor is at most 4 by \
            construction. Use it for groups larger than memory on a slow disk: one round of 4000 picks read the \
            vectors 10 to 17 times. A group of at most `part` records, or a budget of at least `part`, takes one \
            round.

            already: a .npy file with the vectors of records chosen earlier, one per row: int8 as `sluice vectors` \
            writes them, or float32 or float64. They count as picks from the start, in every group, but not towards \
            the budget. A dropped record nearest to one of them names no partner. The lower bound then holds for \
            `keep` records in addition to them.

            per: a label that is a field of the record is compared as it is spelled; records without the field form a \
            group of their own. A quota above its group is cut to the group, and so is `keep`: `run.json` reports what fell short, \
            and `strict: true` ends the run.

            certificate: tight, with farthest-first, looks for more records than were kept of which no two have a record near \
            both: then each needs a record of its own. On clusters of real prompts the factor was 1.09 in the median. It takes up to \
            twice the multiply-adds of the picks again. quick: half the distance of the next pick, a factor of about 2 on every run. \
            auto is tight for groups of up to 1,048,576 records.

            A budget per group is split by shares (by size, by the root of the size, or equally) with largest \
            remainders: the shares sum to the budget exactly. All distances except the option `distance` are chord \
            distances of unit vectors, 0 to 2. Groups larger than memory are read in passes, with the same result; \
            medoids and sensitivity then need a `reservoir`, on which k-means computes the centres. Cost: group size \
            times picks times dimension multiply-adds; `sluice plan` estimates it.
            """,
        options: GroupBudget.options + [GroupBudget.unitOption] + [
            OptionSpec(
                "method", .choice(Method.allCases.map(\.rawValue)), default: "farthest-first", help: "selection method",
                example: "medoids"),
            OptionSpec(
                "trim", .quantity, default: .quantity(.count(0)),
                help:
                    "farthest-first: number or share of the farthest records of a group, often noise, to skip at each pick",
                example: "1%"),
            OptionSpec(
                "certificate", .choice(Certifying.allCases.map(\.rawValue)), default: "auto",
                help: "farthest-first, facility-location: how hard the bound of the best choice is worked for",
                example: "quick"),
            OptionSpec(
                "swaps", .integer(0...1_000_000), default: 0,
                help:
                    "farthest-first: at most so many swaps of a pick for another record of its group, each of which lowers the radius; the picks of smaller budgets are then no longer the first ones",
                example: "100"),
            OptionSpec(
                "rounds", .choice(["one", "composable"]), default: "one",
                help: "farthest-first: one round, or picks within parts and then among those picks",
                example: "composable"),
            OptionSpec(
                "part", .integer(2...Int(Int32.max)), help: "rounds: composable: records per part (65536)",
                example: "65536"),
            OptionSpec(
                "already", .path, help: "farthest-first: a .npy file with the vectors of records chosen earlier",
                example: "chosen.npy"),
            OptionSpec(
                "reservoir", .integer(1...16_777_216),
                help:
                    "medoids, sensitivity, facility-location: size of the sample of a group in which to find centres or picks (all; facility-location 65536)",
                example: "65536"),
            OptionSpec(
                "score", .column(.number), help: "score-first: the column of scores, highest first",
                example: "row_variance"),
            OptionSpec(
                "score_field", .text, help: "score-first: the field of the record that holds the score",
                example: "quality"),
            OptionSpec(
                "distance", .real(0...2),
                help: "score-first: two records at this cosine distance (1 - cosine) or less are not both kept (0.1)",
                example: "0.1"),
            OptionSpec(
                "vectors", .column(.vector), default: "embedding",
                help: "the column of vectors, as `embed` names it by `as`", example: "gradients"),
        ])
}
