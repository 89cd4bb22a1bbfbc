namespace Millrace.Interop.Tests.Kills;

/// <summary>A producer that takes as many steps as it is allowed, through any number of kills of the broker.</summary>
internal interface ISteadyProducer
{
    /// <summary>Ends when the producer has stopped, or faults with what stopped it.</summary>
    Task Running { get; }

    Steps Steps { get; }

    Task StopAsync();
}
