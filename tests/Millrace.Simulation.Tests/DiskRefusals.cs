using Millrace.Log;

namespace Millrace.Simulation.Tests;

/// <summary>Chooses by chance what a disk refuses: an operation of any kind, now or a little later, once or a few times in a row.</summary>
internal static class DiskRefusals
{
    private static readonly SimulatedOperation[] Kinds = Enum.GetValues<SimulatedOperation>();

    private static readonly string[] FileKinds =
        [FileNames.LogSuffix, FileNames.IndexSuffix, FileNames.TimeIndexSuffix, FileNames.TransactionIndexSuffix, FileNames.SnapshotSuffix, AtomicFile.TemporarySuffix];

    public static void Arm(SimulatedStorage storage, Random random)
    {
        int count = random.Next(3) < 2 ? 1 : 2 + random.Next(4);
        if (random.Next(6) == 0)
        {
            // Whatever comes: as of a disk that is gone for a moment.
            storage.FailSome(operation: null, random.Next(60), count);
            return;
        }

        // Syncs more often than others: what they have not written is right in memory all the same, and who tries again may take it for written.
        SimulatedOperation kind = random.Next(4) == 0 ? SimulatedOperation.SyncData : Kinds[random.Next(Kinds.Length)];
        if (IsOfFile(kind) && random.Next(2) == 0)
        {
            storage.FailSome(kind, random.Next(3), count, FileKinds[random.Next(FileKinds.Length)]);
            return;
        }

        int skippedCount = random.Next(3) == 0 ? 0 : random.Next(kind is SimulatedOperation.Read or SimulatedOperation.Open or SimulatedOperation.Write ? 30 : 10);
        storage.FailSome(kind, skippedCount, count);
    }

    /// <summary>Whether what was refused is of one partition, or of what is left of one that was deleted; and of which.</summary>
    public static bool IsOfPartition(SimulatedRefusal refusal, string root, out string directory)
    {
        string name = refusal.Path.StartsWith(root + "/", StringComparison.Ordinal) ? refusal.Path[(root.Length + 1)..].Split('/')[0] : "";
        directory = $"{root}/{name}";
        return FileNames.TryParsePartition(name, out _) || FileNames.TryParseDeletedPartition(name, out _);
    }

    /// <summary>Whether something was refused since that is not of one partition alone.</summary>
    public static bool MayFailStart(SimulatedStorage storage, int refusalCount, string root) =>
        storage.RefusalsAfter(refusalCount).Any(refusal => !IsOfPartition(refusal, root, out _));

    private static bool IsOfFile(SimulatedOperation kind) =>
        kind is not (SimulatedOperation.CreateDirectory or SimulatedOperation.DeleteDirectory or SimulatedOperation.SyncDirectory or SimulatedOperation.Lock or SimulatedOperation.List);
}
