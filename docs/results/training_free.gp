# gnuplot training_free.gp: the losses of free-running trainings (tests/nn/pytorch_training_test.cpp writes the csv)
set datafile separator ","
set terminal svg size 800,450 font "sans,12"
set output "training_free.svg"
set title "Study CNN on Fashion-MNIST, batch 25: the same start and batches, free-running"
set xlabel "step"
set ylabel "loss"
set key top right
plot "training_free.csv" using 1:4 skip 1 with lines lw 5 lc rgb "#cccccc" title "PyTorch float64", \
     "" using 1:3 skip 1 with lines lw 2 lc rgb "#d95f02" title "PyTorch float32", \
     "" using 1:2 skip 1 with lines lw 2 lc rgb "#1b9e77" title "Graft float32"
