import MinWords
import SluiceCommand

SluiceCommand.main(adding: [MinWords.self])
