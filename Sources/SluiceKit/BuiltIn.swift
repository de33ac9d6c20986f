import BudgetSelectors
import Clusterer
import CoresetSelector
import Embedder
import External
import Formatter
import RecordFilters
import RedundancyFilter
public import SluiceCore
import TextFilters

extension Registry {
    /// The stages that come with Sluice. No other place lists them.
    public static var builtIn: Registry {
        Registry([
            FormatStage.self, LengthStage.self, MatchStage.self, QualityStage.self, MeasureStage.self,
            LanguageStage.self, DecontaminateStage.self, DistinctStage.self, SampleStage.self, SplitStage.self,
            EmbedStage.self,
            SimilarityStage.self,
            ClusterStage.self, CoresetStage.self, RedundancyStage.self, TopStage.self, MixtureStage.self,
            ExternalStage.self,
        ])
    }
}
