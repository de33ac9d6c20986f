import SluiceCommand
import Stages

SluiceCommand.main(adding: [MinWords.self, TrimLongest.self, BestOf.self])
