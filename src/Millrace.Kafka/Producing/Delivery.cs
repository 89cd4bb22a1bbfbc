namespace Millrace.Kafka;

/// <summary>Whom to tell what became of a record; nobody if the handler is null.</summary>
internal readonly record struct Delivery(IDeliveryHandler? Handler, long Tag);
