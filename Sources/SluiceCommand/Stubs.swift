import ArgumentParser
struct PlanCommand: ParsableCommand { static let configuration = CommandConfiguration(commandName: "plan") }
struct WhyCommand: ParsableCommand { static let configuration = CommandConfiguration(commandName: "why") }
struct VerifyCommand: ParsableCommand { static let configuration = CommandConfiguration(commandName: "verify") }
