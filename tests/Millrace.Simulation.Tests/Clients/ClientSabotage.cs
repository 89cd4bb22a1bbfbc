namespace Millrace.Simulation.Tests;

/// <summary>What is broken on purpose, to show that the simulation of clients can fail.</summary>
internal enum ClientSabotage
{
    None,

    /// <summary>Requests that the network delivers twice are not recognised: what they carry does not say who wrote it.</summary>
    ForgetSequences,

    /// <summary>A producer that is shut out takes what it began for committed.</summary>
    IgnoreFencing,

    /// <summary>A worker that may have lost its partitions commits their offsets all the same, as nobody in particular.</summary>
    IgnoreGenerations,

    /// <summary>The offsets of what was processed are committed outside of the transaction that has the results.</summary>
    CommitOffsetsOutside,

    /// <summary>A worker goes on behind what it has read, though the transaction of that was aborted.</summary>
    ForgetRewind,

    /// <summary>A reader of committed records reads all.</summary>
    ForgetIsolation,

    /// <summary>The broker's disk says that it has flushed, and has not.</summary>
    FlushDoesNothing,
}
