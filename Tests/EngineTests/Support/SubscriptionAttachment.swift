// A name for the Engine's attachments where swift-testing has some of its own.
import Engine

typealias SubscriptionAttachment = Attachment
