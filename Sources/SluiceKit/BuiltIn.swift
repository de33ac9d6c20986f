import Clusterer
import CoresetSelector
import Embedder
import Formatter
import RedundancyFilter
public import SluiceCore

extension Registry {
    /// The stages that come with Sluice. No other place lists them.
    public static var builtIn: Registry {
        Registry([FormatStage.self, EmbedStage.self, ClusterStage.self, CoresetStage.self, RedundancyStage.self])
    }
}
