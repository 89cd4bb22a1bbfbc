using Millrace.Log;

namespace Millrace.Simulation.Tests;

/// <summary>Chooses by chance what a disk refuses: an operation of any kind, now or a little later, once or a few times in a row.</summary>
internal static class DiskRefusals
{
    private static readonly SimulatedOperation[] Kinds = Enum.GetValues<SimulatedOperation>();

    public static void Arm(SimulatedStorage storage, Random random)
    {
        int count = random.Next(3) < 2 ? 1 : 2 + random.Next(4);
        if (random.Next(6) == 0)
        {
            // Whatever comes: as of a disk that is gone for a moment.
            storage.FailSome(operation: null, random.Next(60), count);
            return;
        }

        SimulatedOperation kind = Kinds[random.Next(Kinds.Length)];
        int skippedCount = random.Next(3) == 0 ? 0 : random.Next(kind is SimulatedOperation.Read or SimulatedOperation.Open or SimulatedOperation.Write ? 30 : 10);
        storage.FailSome(kind, skippedCount, count);
    }
}
